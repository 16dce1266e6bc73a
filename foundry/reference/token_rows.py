"""Rows of texts that have one for each token: which of them are whose, and how alike two texts are by them.

Of every kind but a MultiVectorEncoder a text has one row, and there are no counts.
"""

from collections.abc import Sequence

import numpy as np
from foundry_runtime.max_sim import max_sim

from foundry.loading.items import Item
from foundry.loading.variant import LoadedVariant
from foundry.reference import closeness

# Every pair of texts takes the products of all their tokens: of more texts, so many at regular distances.
COMPARED_TEXTS = 192


def encode(variant: LoadedVariant, items: Sequence[Item], batch_size: int) -> tuple[np.ndarray, list[int]]:
    """The rows of the items, and how many each has; no counts where each has one."""
    if variant.kind != "MultiVectorEncoder":
        return variant.encode(items, batch_size), []
    parts = variant.encode_each(items, batch_size)
    return stacked(parts), [len(part) for part in parts]


def stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of several items as one array; (0, 0) of none."""
    return np.concatenate(parts) if len(parts) else np.zeros((0, 0), np.float32)


def split(rows: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """The rows of each item, (rows, columns); without counts one each."""
    return np.split(rows, np.cumsum(counts)[:-1]) if len(counts) else list(rows[:, None])


def selected(rows: np.ndarray, counts: Sequence[int], places: Sequence[int]) -> np.ndarray:
    """The rows of the items at these places."""
    if not len(counts):
        chosen: np.ndarray = rows[list(places)]
        return chosen
    parts = split(rows, counts)
    return stacked([parts[place] for place in places])


def per_text(values: np.ndarray, counts: Sequence[int], worst: bool = False) -> np.ndarray:
    """One value for each text of the values of its rows (rows,): their mean, or the `worst`, which is the least."""
    if not len(counts):
        return values
    parts = [part for part in np.split(values, np.cumsum(counts)[:-1]) if len(part)]
    return np.array([part.min() if worst else part.mean() for part in parts])


def compared(counts: Sequence[int]) -> list[int]:
    """The places of the texts whose similarities are compared."""
    return sorted({*np.linspace(0, len(counts) - 1, min(len(counts), COMPARED_TEXTS)).astype(int).tolist()})


def similarities(rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """How alike each text is to each other, (texts, texts): by the cosine; where a text has a row for each token by
    MaxSim, the mean over the tokens of the first, for some of the texts where there are many."""
    if not len(counts):
        return closeness.similarities(rows)
    parts = split(rows, counts)
    texts = [part for place in compared(counts) if len(part := parts[place])]
    return max_sim(texts, texts, by_length=True).astype(np.float64)
