"""foundry_runtime, tried on the folder that is to be published: the card names it only for a model that it runs.

Every ONNX and OpenVINO file is loaded by it, and must give torch's tokens and, within what the file was validated for,
torch's rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.loading.items import Item, Query, make_items
from foundry.loading.prompts import embed_by_role
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.validation.results import Validation, families_that_fail

TRIED_TEXTS = 16


def why_not(folder: Path, passed: Mapping[str, Validation], expected: Reference, texts: Sequence[str]) -> str | None:
    """Why foundry_runtime does not run a model; None where it runs each of its files, and gives what torch gives.

    Args:
        folder: What is published, complete but for the card and foundry.json.
        passed: The verdict of each published variant.
        expected: torch's tokens and rows of the `texts`, then of the hard texts.
        texts: The validation texts.

    Raises:
        FoundryError: when it runs a file and gives other tokens or rows.
    """
    import foundry_runtime
    from foundry_runtime.model import CLASSES

    model_class = getattr(foundry_runtime, CLASSES[expected.facts["kind"]])
    ids: list[list[int]] | None = None  # by the first file: all have one tokenizer
    tried = make_items(texts, expected.facts["kind"])[:TRIED_TEXTS]
    refusals: tuple[type[Exception], ...] = (*loader.load_errors(), LookupError)
    for variant, verdict in passed.items():
        if variant == "torch":
            continue
        try:
            model = model_class(folder, variant, verify=False, streams=1)
            if ids is None:
                ids = model.token_ids(expected.tokenizer_inputs(texts))
            all_rows = _rows(model, verdict, tried)
            del model  # before the next is loaded
        except foundry_runtime.FileChanged as error:
            raise FoundryError(f"foundry_runtime does not find {variant}: {error}") from error
        except foundry_runtime.UnusableModel as error:
            return str(error).removeprefix(f"{folder}: ").replace(str(folder), "the model")
        except refusals as error:
            raise FoundryError(f"foundry_runtime fails on {variant}: {type(error).__name__} {error}") from error
        if different := sum(mine != torchs for mine, torchs in zip(ids, expected.tokens, strict=True)):
            raise FoundryError(f"foundry_runtime gives {variant} other tokens than torch for {different} texts")
        threshold = lowest_cosine(verdict)
        for rows in all_rows:
            if rows.shape != expected.embeddings[: len(rows)].shape:
                raise FoundryError(f"foundry_runtime gives {variant} rows of another width than torch: {rows.shape}")
            cosine = float(cosines(expected.less_offsets(rows), expected.embeddings[: len(rows)]).min())
            if not cosine >= threshold:
                raise FoundryError(
                    f"foundry_runtime gives {variant} a cosine of {cosine:.4f} to torch, must be >= {threshold:g}"
                )
    return None


def lowest_cosine(verdict: Validation) -> float:
    """The lowest cosine to torch that a variant was validated for."""
    return float(next(row["threshold"] for row in verdict["checks"] if row["check"] == "min_cosine"))


def _rows(model: Any, verdict: Validation, tried: Sequence[Item]) -> list[np.ndarray]:
    """The rows of the items by a model of foundry_runtime: all at once, and each alone.

    None of a variant that fails on some processors, of which this may be one; and none alone of int8, whose rows may
    depend on the batch and were validated in batches.
    """
    if families_that_fail(verdict):
        return []
    rows = [rows_of(model, tried)]
    if "int8" not in verdict["precision"]:
        rows.append(np.vstack([rows_of(model, [item]) for item in tried]))
    return rows


def rows_of(model: Any, items: Sequence[Item]) -> np.ndarray:
    """The rows (items, columns) that `LoadedVariant.encode` gives of items, by a model of foundry_runtime."""
    if model.kind == "CrossEncoder":
        pairs = [pair for query in cast(Sequence[Query], items) for pair in query.pairs]
        scores: np.ndarray = model.predict(pairs, activation_fn=lambda values: values)
        return scores.reshape(len(items), -1)
    texts = cast(Sequence[str], items)
    if not any(model.prompts.values()):
        return dense(model.encode(texts))
    return embed_by_role(texts, lambda method, group: dense(getattr(model, method)(group)))


def dense(embeddings: Any) -> np.ndarray:
    """Embeddings of a dense or a sparse model, zeros and all."""
    return embeddings if isinstance(embeddings, np.ndarray) else embeddings.to_dense()
