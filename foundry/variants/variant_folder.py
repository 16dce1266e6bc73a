"""The contract of a variant folder: what it holds, and under which names.

A variant is `torch`, `onnx`, `openvino`, or one of the latter two with a suffix (`onnx_O3`). Its folder is one that
Sentence Transformers loads, with the weights under the name that Sentence Transformers itself writes
(`onnx/model_O3.onnx`). A variant that a model cannot have is a folder that holds only `skipped.json`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.progress import say
from foundry.variants import checkpoint_folder, naming
from foundry.variants.checkpoint_folder import TORCH_WEIGHTS

SOURCE_RECORD = checkpoint_folder.SOURCE_RECORD
SKIPPED = "skipped.json"
SEARCHED = "search.json"
BUILT = checkpoint_folder.BUILT
TORCH_SETTINGS = ("attn_implementation", "dtype", "torch_dtype")
RECORDS = (SOURCE_RECORD, SKIPPED, SEARCHED, BUILT)  # what the pipeline writes for itself


def weights_path(folder: Path, variant: str) -> Path:
    """Where the graph of an ONNX or OpenVINO variant stands in its folder."""
    return folder / checkpoint_folder.transformer_path(folder) / naming.backend(variant) / naming.file_name(variant)


def weights_files(folder: Path, variant: str) -> list[Path]:
    """Every file of a variant's own weights: the graph with its sidecars, or torch's files."""
    if naming.backend(variant) == "torch":
        root = folder / checkpoint_folder.transformer_path(folder)
        return sorted(path for pattern in TORCH_WEIGHTS for path in root.glob(pattern))
    graph = weights_path(folder, variant)
    sidecars = (
        [graph.with_suffix(".bin")]
        if naming.backend(variant) == "openvino"
        else list(graph.parent.glob(f"{graph.name}_data"))
    )
    return [graph, *sidecars]


def copy_companions(source: Path, target: Path) -> None:
    """Copy what a variant needs beside its own weights: modules, configs, tokenizer, model card."""
    weights = {path.relative_to(source) for path in weights_files(source, "torch")}
    for path in files.files_below(source):
        is_graph = any(part in ("onnx", "openvino") for part in path.parts[:-1])
        if path not in weights and not is_graph and path.name not in RECORDS:
            files.copy(source / path, target / path)
    drop_torch_settings(target)


def drop_torch_settings(folder: Path) -> None:
    """Take out of a variant's settings what only torch takes, such as its attention or its precision: Sentence
    Transformers hands it on to any runtime, and others stumble over it. Files without it keep their bytes."""
    path = checkpoint_folder.module_settings_path(folder / checkpoint_folder.transformer_path(folder))
    if path is None:
        return
    settings = files.read_json(path)
    kept = {key: value for key, value in settings.items() if key not in ("model_args", "model_kwargs")}
    for arguments in ("config_args", "config_kwargs"):
        if arguments in kept:
            kept[arguments] = {key: value for key, value in kept[arguments].items() if key not in TORCH_SETTINGS}
    if kept != settings:
        files.write_json(path, kept)


def prepare(folder: Path, source: Path, variant: str) -> Path:
    """Put into `folder` all that the variant has beside its weights, from `source`; give where its graph is to go.

    Raises:
        OSError: ENOSPC, when the disk does not have room for the source twice, which is what a graph takes at most
            while it is made.
    """
    files.require_space(folder, 2 * sum((source / path).stat().st_size for path in files.files_below(source)))
    copy_companions(source, folder)
    target = weights_path(folder, variant)
    target.parent.mkdir(parents=True)
    return target


def skip(folder: Path, variant: str, reason: str, search: Any = None) -> None:
    """Write `folder` as that of a variant which this model cannot have; with what a search tried in vain."""
    with files.replacing_folder(folder) as partial:
        files.write_json(
            partial / SKIPPED, {"variant": variant, "reason": reason} | ({"search": search} if search else {})
        )


def skip_if_excluded(out: Path, variant: str, source: Path, excluded: bool) -> bool:
    """Whether a model goes without a variant, because its settings exclude it or it has no `source` to make it from;
    then `out` is written as skipped."""
    reason = None
    if excluded:
        reason = "params.yaml leaves it out for this model"
    elif why := skipped(source):
        reason = f"{source.name} is skipped: {why}"
    if reason is None:
        return False
    skip(out, variant, reason)
    say(f"{out}: ", ("skipped", "yellow"), f", {reason}")
    return True


def write_record(folder: Path, source: Path, record: dict[str, Any]) -> None:
    """Write how a variant was made: what is known of its source, whether its own code may run, and `record`."""
    trust = {"trust_remote_code": True} if checkpoint_folder.trusts_code(source) else {}
    files.write_json(folder / BUILT, {**built(source), **trust, **record})


def built(folder: Path) -> dict[str, Any]:
    """How a variant was made, as `write_record` wrote it; empty for torch."""
    path = folder / BUILT
    record: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return record


def skipped(folder: Path) -> str | None:
    """Why this model cannot have the variant, or None where it has."""
    path = folder / SKIPPED
    return str(files.read_json(path)["reason"]) if path.is_file() else None


def search_result(folder: Path) -> Any:
    """What a search for a budget tried for this variant, or None where there was none."""
    if (path := folder / SEARCHED).is_file():
        return files.read_json(path)
    return files.read_json(folder / SKIPPED).get("search") if skipped(folder) else None


def hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file of a folder, as a path with forward slashes, and its SHA-256."""
    for path in files.files_below(folder):
        yield path.as_posix(), files.sha256(folder / path)
