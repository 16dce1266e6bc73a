"""Checks that texts of every length have torch's embedding: alone, and in batches of equal and of unequal lengths."""

from collections.abc import Mapping

import numpy as np

from foundry.loading.items import Item, Query
from foundry.loading.variant import LoadedVariant
from foundry.reference import token_rows
from foundry.reference.closeness import cosines
from foundry.reference.coverage import Coverage
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_least
from foundry.validation.settings import Thresholds

EVERY = 6  # Of the lengths, those that stand in a batch with another text.
SHORTER = 4  # In a batch of unequal lengths, the other text is a quarter as long.


def measure(variant: LoadedVariant, expected: Reference) -> dict[str, np.ndarray]:
    """Cosines with torch, which embedded each text alone, by what kind of batch the texts stood in."""
    texts = expected.coverage.texts
    if not texts:
        return {}
    covered = expected.coverage
    first_rows = token_rows.split(expected.less_offsets(covered.first_rows), covered.first_counts)
    second_rows = token_rows.split(expected.less_offsets(covered.second_rows), covered.second_counts)
    alone = expected.less_offsets(variant.encode([text.first for text in texts], batch_size=1))
    equal = [
        cosines(
            expected.less_offsets(_one_batch(variant, [texts[index].first, texts[index].second])),
            np.concatenate([first_rows[index], second_rows[index]]),
        )
        for index in equal_batches(expected.coverage)
    ]
    unequal = [
        cosines(
            expected.less_offsets(_one_batch(variant, [texts[index].first, texts[shorter].second])),
            np.concatenate([first_rows[index], second_rows[shorter]]),
        )
        for index, shorter in unequal_batches(expected.coverage)
    ]
    measured = {
        "lengths_alone": [cosines(alone, np.concatenate(first_rows))],
        "lengths_equal": equal,
        "lengths_unequal": unequal,
    }
    return {name: np.concatenate(parts) for name, parts in measured.items() if parts}


def equal_batches(covered: Coverage) -> list[int]:
    """Which of the texts, by their places, are tried in a batch of equals: the longest, and every sixth before it."""
    return _in_batches(covered)[::-EVERY][::-1]


def unequal_batches(covered: Coverage) -> list[tuple[int, int]]:
    """Which are tried beside a shorter text, each with that: the longest, and every sixth of those between the
    others."""
    places = _in_batches(covered)
    tokens = np.array([text.tokens for text in covered.texts])
    kept = sorted({*places[-1:], *places[: -EVERY // 2][::-EVERY]})
    return [(place, int(np.abs(tokens - tokens[place] / SHORTER).argmin())) for place in kept]


def _in_batches(covered: Coverage) -> list[int]:
    """The places of the texts for which there is the memory to stand in a batch."""
    longest = covered.longest_in_batch
    return [place for place, text in enumerate(covered.texts) if longest is None or text.tokens <= longest]


def _one_batch(variant: LoadedVariant, items: list[Item]) -> np.ndarray:
    """The rows of items that stand in one batch; of queries, with all their passages."""
    inputs = sum(len(item.passages) if isinstance(item, Query) else 1 for item in items)
    return variant.encode(items, batch_size=inputs)


def checks(length_cosines: Mapping[str, np.ndarray], limits: Thresholds) -> list[Check]:
    """The worst text of any length."""
    if not length_cosines:
        return []
    lowest = min(cosine.min() for cosine in length_cosines.values())
    return [at_least("lengths_min_cosine", lowest, limits.min_cosine)]
