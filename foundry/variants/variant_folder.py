"""The contract of a variant folder: which files it holds, and under which names.

A variant is `torch`, `onnx`, `openvino`, or one of the latter two with a suffix (`onnx_O3`). Its folder is one that
Sentence Transformers loads, with the weights under the name that Sentence Transformers itself writes
(`onnx/model_O3.onnx`). Where a model cannot have a variant, the variant's folder holds `skipped.json` alone.

Beside what Sentence Transformers loads, a folder holds records of the pipeline: `source.json` (where a torch model came
from), `built.json` (how a graph was made), and `search.json` (what a search for a budget tried).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import files
from foundry.base.progress import say
from foundry.variants import checkpoint_folder, naming
from foundry.variants.checkpoint_folder import TORCH_WEIGHTS
from foundry.variants.search_record import Search

SOURCE_RECORD = checkpoint_folder.SOURCE_RECORD
SKIPPED = "skipped.json"
SEARCHED = "search.json"
BUILT = checkpoint_folder.BUILT
TORCH_SETTINGS = ("attn_implementation", "dtype", "torch_dtype")
HEAD = "head"  # the key of built.json
ATTENTION, BY_BLOCKS = "attention", "by blocks"  # a key of built.json, and what it says where memory grows linearly
WRITTEN_OUT = (
    "written out"  # what it says where that was lost: a processor's GroupQueryAttention in fp16 holds all scores
)
RECORDS = (SOURCE_RECORD, SKIPPED, SEARCHED, BUILT)  # They describe one variant, so another one does not inherit them.


class HeadRecord(TypedDict):
    """What built.json says of what stands behind the transformer."""

    # Of the graph, that the head gives: `sentence_embedding`, `sparse_embedding`, `scores` or `token_embeddings`.
    output: str | None
    left_out: str | None  # why there is none


def weights_path(folder: Path, variant: str) -> Path:
    """The path of an ONNX or OpenVINO variant's graph in its folder."""
    return folder / checkpoint_folder.transformer_path(folder) / naming.backend(variant) / naming.file_name(variant)


def weights_files(folder: Path, variant: str) -> list[Path]:
    """Every file with a variant's weights: the graph with its sidecars and with the graph to the embedding that shares
    them, or torch's files."""
    if naming.backend(variant) == "torch":
        root = folder / checkpoint_folder.transformer_path(folder)
        return sorted(path for pattern in TORCH_WEIGHTS for path in root.glob(pattern))
    graph = weights_path(folder, variant)
    sidecars = (
        [graph.with_suffix(".bin"), *sorted(graph.parent.glob(f"{graph.stem}.*.xml"))]
        if naming.backend(variant) == "openvino"
        else list(graph.parent.glob(f"{graph.name}_data"))
    )
    return [graph, *sidecars]


def copy_companions(source: Path, target: Path) -> None:
    """Copy what every variant has beside its weights: modules, configs, tokenizer, model card."""
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
    kept = without_torch_settings(settings)
    if kept != settings:
        files.write_json(path, kept)


def without_torch_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """A Transformer module's settings without what only torch takes."""
    kept = {key: value for key, value in settings.items() if key not in ("model_args", "model_kwargs")}
    for arguments in ("config_args", "config_kwargs"):
        if arguments in kept:
            kept[arguments] = {key: value for key, value in kept[arguments].items() if key not in TORCH_SETTINGS}
    return kept


def prepare(folder: Path, source: Path, variant: str) -> Path:
    """Copy all but the weights from `source` to `folder`, and give the path to write the variant's graph to.

    Raises:
        OSError: ENOSPC, when the disk does not have room for the source twice, the most that making a graph takes.
    """
    files.require_space(folder, 2 * sum((source / path).stat().st_size for path in files.files_below(source)))
    copy_companions(source, folder)
    target = weights_path(folder, variant)
    target.parent.mkdir(parents=True)
    return target


def skip(folder: Path, variant: str, reason: str, search: Search | None = None) -> None:
    """Write the folder of a variant that the model cannot have, with the reason; and the search that was in vain."""
    record: dict[str, Any] = {"variant": variant, "reason": reason}
    if search:
        record["search"] = search
    with files.replacing_folder(folder) as partial:
        files.write_json(partial / SKIPPED, record)


def skip_if_excluded(out: Path, variant: str, source: Path, excluded: bool) -> bool:
    """Write `out` as skipped where the settings exclude the variant or its `source` is skipped; give whether it was."""
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
    """Write how a variant was made to built.json: the record of its source, whether the checkpoint's code may run, and
    `record`."""
    trust = {"trust_remote_code": True} if checkpoint_folder.trusts_code(source) else {}
    files.write_json(folder / BUILT, {**built(source), **trust, **record})


def built(folder: Path) -> dict[str, Any]:
    """How a variant was made, by built.json; empty for torch."""
    path = folder / BUILT
    record: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return record


def by_blocks(folder: Path) -> bool:
    """Whether a graph's attention goes by blocks, so that its memory grows with the length, not with its square."""
    return built(folder).get(ATTENTION) == BY_BLOCKS


def skipped(folder: Path) -> str | None:
    """Why the model cannot have the variant, by skipped.json; None where it has it."""
    path = folder / SKIPPED
    return str(files.read_json(path)["reason"]) if path.is_file() else None


def search_result(folder: Path) -> Search | None:
    """What a search for a budget tried for this variant, whether it was in vain or not; None for a row without one."""
    result: Search | None = None
    if (path := folder / SEARCHED).is_file():
        result = files.read_json(path)
    elif (path := folder / SKIPPED).is_file():
        result = files.read_json(path).get("search")
    return result


def hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """The path of each file below a folder, with forward slashes, and the file's SHA-256."""
    for path in files.files_below(folder):
        yield path.as_posix(), files.sha256(folder / path)
