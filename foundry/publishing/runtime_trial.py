"""foundry_runtime, tried on the folder that is to be published: the card names it only for a model that it runs.

Every ONNX and OpenVINO file is loaded by it, and must give torch's tokens and, within what the file was validated for,
torch's rows: each text alone, and all of them at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.loading.items import Item, Query, first_tokenizer_input, make_items
from foundry.loading.prompts import is_query
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.variants import checkpoint_folder

TRIED_TEXTS = 16


def why_not(folder: Path, lowest_cosine: Mapping[str, float], expected: Reference, texts: Sequence[str]) -> str | None:
    """Why foundry_runtime does not run a model; None where it runs each of its files, and gives what torch gives.

    Args:
        folder: What is published, complete but for the card and foundry.json.
        lowest_cosine: That each published variant was validated for.
        expected: torch's tokens and rows of the `texts`, then of the hard texts.
        texts: The validation texts.

    Raises:
        FoundryError: when it runs a file and gives other tokens or rows.
    """
    import foundry_runtime
    from foundry_runtime.model import CLASSES

    kind = checkpoint_folder.kind(folder)
    refusals: tuple[type[Exception], ...] = (*loader.load_errors(), LookupError)
    items = [*make_items(texts, kind), *make_items(list(expected.hard_texts.values()), kind)]
    tried = items[: min(TRIED_TEXTS, len(texts))]
    for variant, threshold in lowest_cosine.items():
        if variant == "torch":
            continue
        try:
            model = getattr(foundry_runtime, CLASSES[kind])(folder, variant, verify=False, streams=1)
        except foundry_runtime.UnusableModel as error:
            return str(error).removeprefix(f"{folder}: ").replace(str(folder), "the model")
        except refusals as error:
            raise FoundryError(f"foundry_runtime does not load {variant}: {type(error).__name__} {error}") from error
        try:
            ids = model.token_ids([first_tokenizer_input(item) for item in items])
            together = rows_of(model, tried)
            alone = np.vstack([rows_of(model, [item]) for item in tried])
        except refusals as error:
            raise FoundryError(f"foundry_runtime fails on {variant}: {type(error).__name__} {error}") from error
        if different := sum(mine != torchs for mine, torchs in zip(ids, expected.tokens, strict=True)):
            raise FoundryError(f"foundry_runtime gives {variant} other tokens than torch for {different} texts")
        for rows in (together, alone):
            cosine = float(cosines(expected.less_offsets(rows), expected.embeddings[: len(rows)]).min())
            if not cosine >= threshold:
                raise FoundryError(
                    f"foundry_runtime gives {variant} a cosine of {cosine:.4f} to torch, must be >= {threshold:g}"
                )
    return None


def rows_of(model: Any, items: Sequence[Item]) -> np.ndarray:
    """The rows (items, columns) that `LoadedVariant.encode` gives of items, by a model of foundry_runtime."""
    if model.kind == "CrossEncoder":
        pairs = [pair for query in cast(Sequence[Query], items) for pair in query.pairs]
        scores: np.ndarray = model.predict(pairs, activation_fn=lambda values: values)
        return scores.reshape(len(items), -1)
    texts = cast(Sequence[str], items)
    if not any(model.prompts.values()):
        return dense(model.encode(texts))
    # Each by itself: here the methods differ by text, and a batch of one method's texts is the runtime's own affair.
    return np.vstack(
        [dense((model.encode_query if is_query(text) else model.encode_document)([text])) for text in texts]
    )


def dense(embeddings: Any) -> np.ndarray:
    """Embeddings of a dense or a sparse model, zeros and all."""
    return embeddings if isinstance(embeddings, np.ndarray) else embeddings.to_dense()
