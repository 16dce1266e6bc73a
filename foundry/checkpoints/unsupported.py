"""Kinds of models that cannot be built here: what each is, and what is not possible with it."""

from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.checkpoints import integrity, routers, structure
from foundry.variants import checkpoint_folder

# First modules that are no transformer of text.
FIRST_MODULES = {
    "StaticEmbedding": "A StaticEmbedding model has no graph: it looks tokens up in a table, and is as fast as it gets",
    "SparseStaticEmbedding": "A SparseStaticEmbedding model has no graph: it looks its tokens up in a table",
    "WordEmbeddings": "A WordEmbeddings model has no transformer: it looks its words up in a table",
    "BoW": "A BoW (bag of words) model has no transformer: it counts words",
    "CLIPModel": "A CLIP model embeds images beside texts, and only models of text can be exported. Its text tower is "
    "built where nothing stands behind it",
}
CAUSAL = (
    "a causal language model. One can be built as a reranker alone: a CrossEncoder of a Transformer for "
    "text-generation and a LogitScore, as Sentence Transformers saves it, that scores a pair by the next token"
)
# What is exported of a transformer, by the names that transformers gives to its outputs.
OUTPUTS = ("last_hidden_state", "logits")
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
    # Without modules.json, Sentence Transformers reads no settings of its own.
    settings_path = checkpoint_folder.module_settings_path(path) if rows else None
    settings = integrity.read_json(settings_path) if settings_path is not None else {}
    config = integrity.read_json(path / "config.json") if (path / "config.json").is_file() else {}
    modalities = {part for name in settings.get("modality_config") or {} for part in name.split("+")}
    if senses := sorted(modalities & OTHER_SENSES):
        raise FoundryError(
            f"{folder} is a model of {' and '.join([*senses, 'text'])} ({', '.join(sorted(modalities))}); only models "
            "of text alone can be exported"
        )
    _check_output(folder, settings)
    architectures = [str(name) for name in config.get("architectures") or []]
    has_score = any(name.endswith("LogitScore") for name in structure.module_types(folder).values())
    if has_score or settings.get("transformer_task") == "text-generation":
        _check_causal(folder, rows, settings, kind)
    elif not rows and kind is None and any(name.endswith("ForCausalLM") for name in architectures):
        raise FoundryError(f"{folder} is {CAUSAL}. With `kind: CrossEncoder`, a bare one is scored by yes and no")
    if not rows and {"text_config", "vision_config"} & set(config):
        raise FoundryError(
            f"{folder} is a model of images and text ({config.get('model_type')}); only models of text alone can be "
            "exported"
        )


def _check_first(folder: Path, row: dict[str, Any]) -> None:
    name = row["type"].rpartition(".")[2]
    if name in FIRST_MODULES:
        raise FoundryError(f"{folder} has {name} as its first module. {FIRST_MODULES[name]}")


def _check_output(folder: Path, settings: dict[str, Any]) -> None:
    """Check that what follows the transformer reads what a graph gives: its last layer, or its head."""
    names = structure.module_types(folder).values()
    if weighted := next((name for name in names if name.endswith("WeightedLayerPooling")), None):
        raise FoundryError(f"{folder} has a {weighted}, which reads all layers; a graph gives the last one alone")
    text = (settings.get("modality_config") or {}).get("text")
    method, output = (text.get("method"), text.get("method_output_name")) if isinstance(text, dict) else (None, None)
    if method not in (None, "forward") or (
        output is not None and output not in (*OUTPUTS, *([name] for name in OUTPUTS))
    ):
        raise FoundryError(
            f"{folder} takes {output} of its transformer's {method} for texts (modality_config); what a graph gives "
            f"is {' or '.join(OUTPUTS)} of its forward"
        )


def _check_causal(folder: Path, rows: list[dict[str, Any]], settings: dict[str, Any], kind: str | None) -> None:
    """Check that a model for text-generation is a reranker: a Transformer and a LogitScore, and nothing else."""
    path = folder / "config_sentence_transformers.json"
    said = integrity.read_json(path).get("model_type") if path.is_file() else None
    is_reranker = "CrossEncoder" in (kind, said) and kind in (None, said)
    has_both = len(rows) == 2 and rows[1]["type"].endswith("LogitScore")
    if not is_reranker or not has_both or settings.get("transformer_task") != "text-generation":
        raise FoundryError(f"{folder} is {CAUSAL}")
    score = integrity.read_json(folder / rows[1]["path"] / "config.json")
    ids = [score.get("true_token_id"), score.get("false_token_id")]
    if ids[0] is None or any(token is not None and (type(token) is not int or token < 0) for token in ids):
        raise FoundryError(f"{folder} scores by the tokens {ids[0]} and {ids[1]}, which are no ids")
    if ids[0] == ids[1]:
        raise FoundryError(f"{folder} scores by token {ids[0]} less itself, which is 0 for every pair")
