"""Kinds of models that cannot be built here: what each is, and what is not possible with it."""

from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.checkpoints import integrity, routers, structure

# First modules that are no transformer of text.
FIRST_MODULES = {
    "StaticEmbedding": "A StaticEmbedding model has no graph: it looks tokens up in a table, and is as fast as it gets",
    "SparseStaticEmbedding": "A SparseStaticEmbedding model has no graph: it looks its tokens up in a table",
    "WordEmbeddings": "A WordEmbeddings model has no transformer: it looks its words up in a table",
    "BoW": "A BoW (bag of words) model has no transformer: it counts words",
    "CLIPModel": "A CLIP model embeds images beside texts, and only models of text can be exported. Its text tower "
    "alone can be, saved as a SentenceTransformer of its own",
}
CAUSAL = (
    "a causal reranker: it scores a pair by the next token that a language model would write (yes or no). That head "
    "is not exported; what can be is a CrossEncoder with a classification head, such as a "
    "*-seq-cls conversion of the model"
)
OTHER_SENSES = {"image", "audio", "video"}


def check(folder: Path, kind: str | None) -> None:
    """Check that the checkpoint is of a kind that can be built, by its settings alone.

    Raises:
        FoundryError: saying what it is, and what is not possible.
    """
    rows = structure.module_rows(folder)
    if rows:
        _check_first(folder, rows[0])
    routers.check(folder, kind)
    path = folder / structure.transformer_path(folder)
    settings = _settings(path)
    modalities = {part for name in settings.get("modality_config") or {} for part in name.split("+")}
    if senses := sorted(modalities & OTHER_SENSES):
        raise FoundryError(
            f"{folder} is a model of {' and '.join([*senses, 'text'])} ({', '.join(sorted(modalities))}); only models "
            "of text alone can be exported"
        )
    config = integrity.read_json(path / "config.json") if (path / "config.json").is_file() else {}
    architectures = [str(name) for name in config.get("architectures") or []]
    says_reranker = kind == "CrossEncoder" and any(name.endswith("ForCausalLM") for name in architectures)
    has_score = any(name.endswith("LogitScore") for name in structure.module_types(folder).values())
    if has_score or (says_reranker and not rows) or settings.get("transformer_task") == "text-generation":
        raise FoundryError(f"{folder} is {CAUSAL}")
    if not rows and {"text_config", "vision_config"} & set(config):
        raise FoundryError(
            f"{folder} is a model of images and text ({config.get('model_type')}); only models of text alone can be "
            "exported"
        )


def _check_first(folder: Path, row: dict[str, Any]) -> None:
    name = row["type"].rpartition(".")[2]
    if name in FIRST_MODULES:
        raise FoundryError(f"{folder} has {name} as its first module. {FIRST_MODULES[name]}")


def _settings(path: Path) -> dict[str, Any]:
    file = path / "sentence_bert_config.json"
    value: dict[str, Any] = integrity.read_json(file) if file.is_file() else {}
    return value
