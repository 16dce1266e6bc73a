"""What the folder of a Sentence Transformers checkpoint says of its model, read without loading it."""

from pathlib import Path
from typing import Any, Literal, get_args

from foundry_runtime.errors import UnusableModel
from foundry_runtime.router import Sides, read_sides

from foundry.base import files
from foundry.base.errors import FoundryError

# Sentence Transformers' classes
Kind = Literal["SentenceTransformer", "SparseEncoder", "CrossEncoder", "MultiVectorEncoder"]
# Its names for heads of a transformer.
Task = Literal["feature-extraction", "fill-mask", "sequence-classification", "text-generation"]

# Names that transformers and Sentence Transformers give to a torch model's weights.
TORCH_WEIGHTS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)

SOURCE_RECORD = "source.json"
BUILT = "built.json"
# Of the files that Sentence Transformers looks for, in its order: `sentence_bert_config.json` and so on.
SETTINGS_NAMES = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
NO_LIMIT = 10**9
# Late interaction as PyLate and Stanford's ColBERT save it, which Sentence Transformers reads: the model_type in its
# settings, and transformers' name of the architecture.
PYLATE_TYPE, STANFORD_ARCHITECTURE = "ColBERT", "HF_ColBERT"


def kind(folder: Path) -> Kind:
    """Which class of Sentence Transformers loads the folder: by what it says itself, or by what it holds.

    Raises:
        FoundryError: when it says something else, or is no Sentence Transformers model.
    """
    path = folder / "config_sentence_transformers.json"
    model_type = files.read_json(path).get("model_type") if path.is_file() else None
    known: dict[str, Kind] = {name: name for name in get_args(Kind)}
    if model_type == PYLATE_TYPE:
        return "MultiVectorEncoder"
    if model_type is not None and model_type not in known:
        raise FoundryError(f"{path} says model_type {model_type!r}; known are {', '.join(known)}")
    if model_type is not None:
        return known[model_type]
    if is_stanford_colbert(folder):
        return "MultiVectorEncoder"
    if not (folder / "modules.json").is_file() and _is_bare_cross_encoder(folder):
        return "CrossEncoder"
    is_sparse = any(row["type"].endswith("SpladePooling") for row in modules(folder))
    return "SparseEncoder" if is_sparse else "SentenceTransformer"


def is_of_older_colbert(folder: Path) -> bool:
    """Whether a MultiVectorEncoder is saved by PyLate or as Stanford's ColBERT: its settings stand elsewhere, and
    Sentence Transformers adds modules when it loads it."""
    path = folder / "config_sentence_transformers.json"
    settings = files.read_json(path) if path.is_file() else {}
    return settings.get("model_type") == PYLATE_TYPE or is_stanford_colbert(folder)


def is_stanford_colbert(folder: Path) -> bool:
    """Whether the folder is Stanford's ColBERT, which has no modules.json."""
    path = folder / "config.json"
    if (folder / "modules.json").is_file() or not path.is_file():
        return False
    return STANFORD_ARCHITECTURE in (files.read_json(path).get("architectures") or ())


def _is_bare_cross_encoder(folder: Path) -> bool:
    """Whether the folder is a classifier of transformers alone, which CrossEncoder loads without any modules.json."""
    path = folder / "config.json"
    architectures = files.read_json(path).get("architectures") if path.is_file() else None
    return any(name.endswith("ForSequenceClassification") for name in architectures or ())


def task(folder: Path) -> Task:
    """What the transformer computes, in Sentence Transformers' words: which head is on it.

    Raises:
        FoundryError: for a head that is not exported.
    """
    task_name = module_settings(folder).get("transformer_task")
    if task_name is None:
        if kind(folder) == "CrossEncoder":
            return "sequence-classification"
        return "fill-mask" if modules(folder)[0]["type"].endswith("MLMTransformer") else "feature-extraction"
    known: dict[str, Task] = {name: name for name in get_args(Task)}
    if task_name not in known:
        raise FoundryError(f"{folder} says transformer_task {task_name!r}; what can be exported is {', '.join(known)}")
    return known[task_name]


def modules(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json, Sentence Transformers' list of a model's modules; in the place of a Router, those that
    documents go through.

    Raises:
        FoundryError: when the folder is no Sentence Transformers model.
    """
    rows = _listed(folder)
    both = _sides(folder, rows)
    if both is not None:
        rows = both.document
    if not rows or not rows[0]["type"].endswith("Transformer"):
        kind = rows[0]["type"] if rows else "nothing"
        raise FoundryError(
            f"{folder} has {kind} as its first module; only a Transformer can be exported. "
            "A StaticEmbedding model has no graph: it is as fast as it gets"
        )
    return rows


def sides(folder: Path) -> Sides | None:
    """What queries go through, and what documents; None of a model without a Router.

    Raises:
        FoundryError: when the folder is no Sentence Transformers model, or a Router has no route for one of the two.
    """
    return _sides(folder, _listed(folder))


def query_table(folder: Path) -> str | None:
    """The folder of the table that queries are looked up in, relative to the model's; None where they go through its
    graph."""
    both = sides(folder)
    return None if both is None else both.query_table


def _sides(folder: Path, rows: list[dict[str, Any]]) -> Sides | None:
    def read(name: str) -> dict[str, Any]:
        path = folder / name
        value = files.read_json(path) if path.is_file() else {}
        return value if isinstance(value, dict) else {}

    try:
        return read_sides(rows, read)
    except UnusableModel as error:
        raise FoundryError(f"{folder}: {error}") from error


def _listed(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json as they stand there."""
    listing = folder / "modules.json"
    if not listing.is_file() and _is_bare_cross_encoder(folder):
        return [{"path": "", "type": "Transformer"}]
    if not listing.is_file():
        raise FoundryError(
            f"{folder} is no Sentence Transformers model: it has no modules.json. "
            "Save the model with SentenceTransformer(...).save_pretrained(folder), or that of SparseEncoder or "
            "CrossEncoder, and name that folder; or set `kind` in the model's row, and it is saved so"
        )
    try:
        rows: list[dict[str, Any]] = files.read_json(listing)
        _ = [(row["path"], row["type"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise FoundryError(f"{listing} is not a list of modules, each with a path and a type: {error!r}") from error
    return rows


def scored_tokens(folder: Path) -> tuple[int, ...]:
    """The ids of the tokens whose logits are a causal reranker's score; none for another model."""
    row = next((row for row in modules(folder) if row["type"].endswith("LogitScore")), None)
    if row is None:
        return ()
    settings = files.read_json(folder / row["path"] / "config.json")
    ids = (settings["true_token_id"], settings.get("false_token_id"))
    return tuple(int(token) for token in ids if token is not None)


def transformer_path(folder: Path) -> str:
    """Where the transformer stands in a model's folder: the root, or `0_Transformer` in old models."""
    return str(modules(folder)[0]["path"])


def config(folder: Path) -> dict[str, Any]:
    """The transformer's config.json."""
    value: dict[str, Any] = files.read_json(folder / transformer_path(folder) / "config.json")
    return value


def module_settings_path(transformer: Path) -> Path | None:
    """The settings of the Transformer module in a folder: the first that Sentence Transformers reads, or None."""
    paths = (transformer / f"sentence_{name}_config.json" for name in SETTINGS_NAMES)
    return next((path for path in paths if path.is_file() and files.read_json(path)), None)


def module_settings(folder: Path) -> dict[str, Any]:
    """What Sentence Transformers' settings of the transformer say: lengths, lower case, arguments of transformers.

    Empty for a bare model of transformers, whose settings it does not read.
    """
    path = module_settings_path(folder / transformer_path(folder))
    is_saved = (folder / "modules.json").is_file()
    value: dict[str, Any] = files.read_json(path) if path is not None and is_saved else {}
    return value


def max_seq_length(folder: Path) -> int | None:
    """The number of tokens after which Sentence Transformers truncates, found as it finds it; None without any limit.

    What its own settings say holds; else the smaller of the tokenizer's length and the number of the model's positions.
    """
    settings = module_settings(folder)
    arguments = settings.get("processor_kwargs") or settings.get("tokenizer_args") or {}
    for limit in (arguments.get("model_max_length"), settings.get("max_seq_length")):
        if limit is not None:
            return int(limit)
    path = folder / transformer_path(folder) / "tokenizer_config.json"
    tokenizer_config = files.read_json(path) if path.is_file() else {}
    tokenizer = tokenizer_config.get("model_max_length", tokenizer_config.get("max_len"))
    positions = config(folder).get("max_position_embeddings")
    # XLNet writes -1 for its positions, and transformers a number with thirty zeros for no limit.
    known = [int(limit) for limit in (tokenizer, positions) if limit is not None and 0 < limit < NO_LIMIT]
    return min(known, default=None)


def prompts(folder: Path) -> tuple[dict[str, str], str | None]:
    """The prompts that a model was trained with, by name, and the name of its default one."""
    path = folder / "config_sentence_transformers.json"
    settings = files.read_json(path) if path.is_file() else {}
    return dict(settings.get("prompts") or {}), settings.get("default_prompt_name")


def longest_input(folder: Path) -> int:
    """The number of tokens that a text may have in calibration and the like, where the model itself has no limit."""
    return min(max_seq_length(folder) or 8192, 8192)


def trusts_code(folder: Path) -> bool:
    """Whether the checkpoint's own code may run: what params.yaml says, as `download` and later stages record it."""
    for name in (SOURCE_RECORD, BUILT):
        if (folder / name).is_file():
            record = files.read_json(folder / name)
            return bool(record.get("loaded", record).get("trust_remote_code", False))
    return False
