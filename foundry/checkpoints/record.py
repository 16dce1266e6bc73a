"""What is known of a checkpoint once it was loaded: the record that later stages read, `source.json`."""

from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.checkpoints.loading import Loaded
from foundry.checkpoints.tokenizer import embedding_rows
from foundry.variants import checkpoint_folder, model_card, sides, variant_folder


def facts(loaded: Loaded, trusted: bool) -> dict[str, Any]:
    """What the loaded model reads and is: its lengths in tokens, tokenizer, prompts and modules."""
    model = loaded.model
    length, tokenizer = sides.max_seq_length(model), sides.transformer(model).tokenizer
    return {
        "kind": loaded.kind,
        "trust_remote_code": trusted,
        "architecture": type(model.transformers_model).__name__,
        "max_seq_length": None if length is None or length > checkpoint_folder.NO_LIMIT else int(length),
        "tokenizer": {
            "class": type(tokenizer).__name__,
            "fast": bool(tokenizer.is_fast),
            "entries": len(tokenizer),
            "embeddings": embedding_rows(model.transformers_model),
        },
        "prompts": {name: text for name, text in (getattr(model, "prompts", None) or {}).items() if text},
        "default_prompt_name": getattr(model, "default_prompt_name", None),
        "modules": [type(module).__name__ for module in sides.modules(model)],
        "pooling": next(
            (str(mode) for module in sides.modules(model) if (mode := getattr(module, "pooling_mode", None))), None
        ),
    }


def write(folder: Path, origin: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Write the record beside the checkpoint's files, each with its hash and size, and give it."""
    listing = {
        name: {"sha256": digest, "size_bytes": (folder / name).stat().st_size}
        for name, digest in variant_folder.hashes(folder)
    }
    record = {"source": origin, "licence": model_card.licence(folder / "README.md"), "files": listing, "loaded": facts}
    files.write_json(folder / variant_folder.SOURCE_RECORD, record)
    return record
