"""What the folder of a Sentence Transformers checkpoint says of its model, read without loading it."""

from pathlib import Path
from typing import Any, Literal, get_args

from foundry.base import files
from foundry.base.errors import FoundryError

Kind = Literal["SentenceTransformer", "SparseEncoder", "CrossEncoder"]  # Sentence Transformers' classes

# Names that transformers and Sentence Transformers give to a torch model's weights.
TORCH_WEIGHTS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)


def kind(folder: Path) -> Kind:
    """Which class of Sentence Transformers loads the folder: by what it says itself, or by what it holds.

    Raises:
        FoundryError: when it says something else, or is no Sentence Transformers model.
    """
    path = folder / "config_sentence_transformers.json"
    said = files.read_json(path).get("model_type") if path.is_file() else None
    known: dict[str, Kind] = {name: name for name in get_args(Kind)}
    if said is not None and said not in known:
        raise FoundryError(f"{path} says model_type {said!r}; known are {', '.join(known)}")
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
        FoundryError: for a head that is not exported.
    """
    path = folder / transformer_path(folder) / "sentence_bert_config.json"
    said = files.read_json(path).get("transformer_task") if path.is_file() else None
    if said is None:
        if kind(folder) == "CrossEncoder":
            return "sequence-classification"
        return "fill-mask" if modules(folder)[0]["type"].endswith("MLMTransformer") else "feature-extraction"
    known: dict[str, Task] = {name: name for name in get_args(Task)}
    if said not in known:
        raise FoundryError(f"{path} says transformer_task {said!r}; what can be exported is {', '.join(known)}")
    return known[said]


def modules(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json, Sentence Transformers' list of a model's modules.

    Raises:
        FoundryError: when the folder is no Sentence Transformers model.
    """
    listing = folder / "modules.json"
    if not listing.is_file() and _is_bare_cross_encoder(folder):
        return [{"path": "", "type": "Transformer"}]
    if not listing.is_file():
        raise FoundryError(
            f"{folder} is no Sentence Transformers model: it has no modules.json. "
            "Save the model with SentenceTransformer(...).save_pretrained(folder), or that of SparseEncoder or "
            "CrossEncoder, and name that folder"
        )
    try:
        rows: list[dict[str, Any]] = files.read_json(listing)
        _ = [(row["path"], row["type"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise FoundryError(f"{listing} is not a list of modules, each with a path and a type: {error!r}") from error
    if not rows or not rows[0]["type"].endswith("Transformer"):
        kind = rows[0]["type"] if rows else "nothing"
        raise FoundryError(
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


def has_own_code(folder: Path) -> bool:
    """Whether a checkpoint brings Python code along, which `download` leaves in only with `trust_remote_code`."""
    return any(folder.rglob("*.py"))
