"""A variant by foundry_runtime, which gives the rows that `LoadedVariant.encode` gives. Nothing here imports torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundry.loading.items import Item, Query
from foundry.loading.prompts import Method, by_role, embed_by_role
from foundry.variants.checkpoint_folder import Kind
from foundry.variants.precisions import Device, InferencePrecision


def open_model(
    folder: Path,
    variant: str,
    kind: Kind,
    precision: InferencePrecision,
    tokenizer: Mapping[str, Path],
    device: Device = "cpu",
    **options: int | None,
) -> Any:
    """The variant by foundry_runtime's class of its kind.

    Args:
        tokenizer: Where files of the tokenizer are that are not the folder's own: as they will be published.
        options: Threads, streams and the like, as the class takes them.
    """
    import foundry_runtime
    from foundry_runtime.folder import ModelFolder
    from foundry_runtime.model import CLASSES

    def find(name: str) -> Path | None:
        path = tokenizer.get(name, folder / name)
        return path if path.is_file() else None

    model_class = getattr(foundry_runtime, CLASSES[kind])
    return model_class(
        ModelFolder(str(folder), find, verify=False), variant, precision=precision, device=device, **options
    )


def rows_of(model: Any, items: Sequence[Item], batch_size: int | None) -> Any:
    """The rows (items, columns), or (tokens, columns), by a model of foundry_runtime, in batches of so many items,
    or cut by tokens.

    Those of a sparse model are sparse, unless prompts are put before the texts. Where queries are looked up in a table,
    all texts are documents, as `EmbeddingVariant.encode` has them.
    """
    if model.kind == "CrossEncoder":
        pairs = [pair for item in items if isinstance(item, Query) for pair in item.pairs]
        scores = model.predict(pairs, activation_fn=lambda values: values, batch_size=batch_size)
        return scores.reshape(len(items), -1)
    texts = [item for item in items if isinstance(item, str)]
    if model.kind == "MultiVectorEncoder":
        vectors = by_role(texts, lambda method, group: getattr(model, method)(group, batch_size=batch_size))
        return np.concatenate(vectors)
    if model.has_query_table:
        return model.encode_document(texts, batch_size=batch_size)
    if not any(model.prompts.values()) and not model.has_router:
        return model.encode(texts, batch_size=batch_size)

    def embed(method: Method, of_role: list[str]) -> Any:
        return dense(getattr(model, method)(of_role, batch_size=batch_size))

    return embed_by_role(texts, embed)


def dense(rows: Any) -> Any:
    """Rows of a dense or a sparse model, zeros and all."""
    return rows.to_dense() if hasattr(rows, "to_dense") else rows
