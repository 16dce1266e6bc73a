"""The contract of a variant folder: what it holds, and under which names.

A variant is `torch`, `onnx`, `openvino`, or one of the latter two with a suffix (`onnx_O3`). Its folder is one that
Sentence Transformers loads, with the weights under the name that Sentence Transformers itself writes
(`onnx/model_O3.onnx`). A variant that a model cannot have is a folder that holds only `skipped.json`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from stages.shared import files
from stages.shared.command import StageError
from stages.shared.params import Kind, Params
from stages.shared.progress import say

SOURCE_RECORD = "source.json"
SKIPPED = "skipped.json"
SEARCHED = "search.json"
BUILT = "built.json"
RECORDS = (SOURCE_RECORD, SKIPPED, SEARCHED, BUILT)  # what the pipeline writes for itself

# Without it OpenVINO computes in bf16 or fp16 where the processor has it, and a file gives other embeddings there.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}

# Names that transformers and Sentence Transformers give to a torch model's weights.
TORCH_WEIGHTS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)


def backend(variant: str) -> str:
    """Sentence Transformers' name of the backend that runs a variant: `torch`, `onnx` or `openvino`."""
    return variant.partition("_")[0]


def file_name(variant: str) -> str:
    """What Sentence Transformers takes as `model_kwargs={"file_name": ...}`: `model_O3.onnx`.

    Raises:
        ValueError: for a torch variant, which has no such name.
    """
    kind, _, suffix = variant.partition("_")
    stem = {"onnx": "model", "openvino": "openvino_model"}.get(kind)
    if stem is None:
        raise ValueError(f"variant {variant!r} is neither onnx nor openvino")
    return f"{stem}{'_' if suffix else ''}{suffix}{'.onnx' if kind == 'onnx' else '.xml'}"


def model_kwargs(variant: str) -> dict[str, Any]:
    """What Sentence Transformers takes as `model_kwargs` to load a variant and compute as it was validated."""
    match backend(variant):
        case "torch":
            return {}
        case "openvino":
            return {"file_name": file_name(variant), "ov_config": dict(EXACT)}
    return {"file_name": file_name(variant)}


def weights_path(folder: Path, variant: str) -> Path:
    """Where the graph of an ONNX or OpenVINO variant stands in its folder."""
    return folder / transformer_path(folder) / backend(variant) / file_name(variant)


def weights_files(folder: Path, variant: str) -> list[Path]:
    """Every file of a variant's own weights: the graph with its sidecars, or torch's files."""
    if backend(variant) == "torch":
        root = folder / transformer_path(folder)
        return sorted(path for pattern in TORCH_WEIGHTS for path in root.glob(pattern))
    graph = weights_path(folder, variant)
    sidecars = (
        [graph.with_suffix(".bin")] if backend(variant) == "openvino" else list(graph.parent.glob(f"{graph.name}_data"))
    )
    return [graph, *sidecars]


def kind(folder: Path) -> Kind:
    """Which class of Sentence Transformers loads the folder: by what it says itself, or by what it holds.

    Raises:
        StageError: when it says something else, or is no Sentence Transformers model.
    """
    path = folder / "config_sentence_transformers.json"
    said = files.read_json(path).get("model_type") if path.is_file() else None
    known: dict[str, Kind] = {name: name for name in get_args(Kind)}
    if said is not None and said not in known:
        raise StageError(f"{path} says model_type {said!r}; known are {', '.join(known)}")
    if said is not None:
        return known[said]
    if not (folder / "modules.json").is_file() and _is_bare_cross_encoder(folder):
        return "CrossEncoder"
    is_sparse = any(row["type"].endswith("SpladePooling") for row in modules(folder))
    return "SparseEncoder" if is_sparse else "SentenceTransformer"


def _is_bare_cross_encoder(folder: Path) -> bool:
    """Whether the folder is a classifier of transformers alone, which CrossEncoder loads without any modules.json."""
    path = folder / "config.json"
    architectures = files.read_json(path).get("architectures") if path.is_file() else None
    return any(name.endswith("ForSequenceClassification") for name in architectures or ())


Task = Literal["feature-extraction", "fill-mask", "sequence-classification"]


def task(folder: Path) -> Task:
    """What the transformer computes, in Sentence Transformers' words: which head is on it.

    Raises:
        StageError: for a head that is not exported.
    """
    path = folder / transformer_path(folder) / "sentence_bert_config.json"
    said = files.read_json(path).get("transformer_task") if path.is_file() else None
    if said is None:
        if kind(folder) == "CrossEncoder":
            return "sequence-classification"
        return "fill-mask" if modules(folder)[0]["type"].endswith("MLMTransformer") else "feature-extraction"
    known: dict[str, Task] = {name: name for name in get_args(Task)}
    if said not in known:
        raise StageError(f"{path} says transformer_task {said!r}; what can be exported is {', '.join(known)}")
    return known[said]


def modules(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json, Sentence Transformers' list of a model's modules.

    Raises:
        StageError: when the folder is no Sentence Transformers model.
    """
    listing = folder / "modules.json"
    if not listing.is_file() and _is_bare_cross_encoder(folder):
        return [{"path": "", "type": "Transformer"}]
    if not listing.is_file():
        raise StageError(
            f"{folder} is no Sentence Transformers model: it has no modules.json. "
            "Save the model with SentenceTransformer(...).save_pretrained(folder), or that of SparseEncoder or "
            "CrossEncoder, and name that folder"
        )
    try:
        rows: list[dict[str, Any]] = files.read_json(listing)
        _ = [(row["path"], row["type"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{listing} is not a list of modules, each with a path and a type: {error!r}") from error
    if not rows or not rows[0]["type"].endswith("Transformer"):
        kind = rows[0]["type"] if rows else "nothing"
        raise StageError(
            f"{folder} has {kind} as its first module; only a Transformer can be exported. "
            "A StaticEmbedding model has no graph: it is as fast as it gets"
        )
    return rows


def transformer_path(folder: Path) -> str:
    """Where the transformer stands in a model's folder: the root, or `0_Transformer` in old models."""
    return str(modules(folder)[0]["path"])


def config(folder: Path) -> dict[str, Any]:
    """The transformer's config.json."""
    value: dict[str, Any] = files.read_json(folder / transformer_path(folder) / "config.json")
    return value


def max_seq_length(folder: Path) -> int | None:
    """The number of tokens after which Sentence Transformers truncates, if the model says it."""
    path = folder / transformer_path(folder) / "sentence_bert_config.json"
    value = files.read_json(path).get("max_seq_length") if path.is_file() else None
    return None if value is None else int(value)


def prompts(folder: Path) -> tuple[dict[str, str], str | None]:
    """The prompts that a model was trained with, by name, and the name of its default one."""
    path = folder / "config_sentence_transformers.json"
    said = files.read_json(path) if path.is_file() else {}
    return dict(said.get("prompts") or {}), said.get("default_prompt_name")


def longest_input(folder: Path) -> int:
    """The number of tokens that the model has positions for, as its tokenizer or its config says it."""
    path = folder / transformer_path(folder) / "tokenizer_config.json"
    said = files.read_json(path).get("model_max_length") if path.is_file() else None
    known = [int(value) for value in (said, config(folder).get("max_position_embeddings")) if value is not None]
    return min([*known, 8192])


def copy_companions(source: Path, target: Path) -> None:
    """Copy what a variant needs beside its own weights: modules, configs, tokenizer, model card."""
    weights = {path.relative_to(source) for path in weights_files(source, "torch")}
    for path in files.files_below(source):
        is_graph = any(part in ("onnx", "openvino") for part in path.parts[:-1])
        if path not in weights and not is_graph and path.name not in RECORDS:
            files.copy(source / path, target / path)


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


def left_out(out: Path, variant: str, source: Path, settings: Params) -> bool:
    """Whether a model goes without a variant, by its own settings or because it has no `source` to make it from; then
    `out` is written as skipped."""
    reason = None
    if settings.skips(out.parent.name, variant):
        reason = "params.yaml leaves it out for this model"
    elif why := skipped(source):
        reason = f"{source.name} is skipped: {why}"
    if reason is None:
        return False
    skip(out, variant, reason)
    say(f"{out}: ", ("skipped", "yellow"), f", {reason}")
    return True


def write_record(folder: Path, source: Path, record: dict[str, Any]) -> None:
    """Write how a variant was made: what is known of its source, and `record`."""
    files.write_json(folder / BUILT, {**built(source), **record})


def built(folder: Path) -> dict[str, Any]:
    """How a variant was made, as `write_record` wrote it; empty for torch."""
    path = folder / BUILT
    record: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return record


def has_own_code(folder: Path) -> bool:
    """Whether a checkpoint brings Python code along, which `download` leaves in only with `trust_remote_code`."""
    return any(folder.rglob("*.py"))


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
