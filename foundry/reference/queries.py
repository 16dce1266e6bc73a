"""Queries of a model that looks them up in a table: there is no graph to come close to torch, so they are to be equal.

Of each text, the entries of the vocabulary and their weights are frozen, and all weights of the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundry.loading.variant import EmbeddingVariant, LoadedVariant
from foundry.variants import sides

FILE = "queries.npz"
AT_ONCE = 64  # texts whose rows are written out at once


@dataclass(frozen=True)
class Queries:
    """Texts as queries, of which only what is not zero is kept, text by text (CSR), and the table itself."""

    weights: np.ndarray  # (vocabulary,), float32
    starts: np.ndarray  # (texts + 1,), int64: where each text begins in the next two
    indices: np.ndarray  # int64, rising within a text
    values: np.ndarray  # float32

    def different(self, other: "Queries") -> int:
        """How many texts have other entries, or other weights, bit by bit; all of them where there are not as many."""
        if len(self.starts) != len(other.starts):
            return max(len(self.starts), len(other.starts)) - 1
        return sum(
            not (np.array_equal(mine, theirs) and np.array_equal(my_values, their_values))
            for (mine, my_values), (theirs, their_values) in zip(self._rows(), other._rows(), strict=True)
        )

    def different_weights(self, other: "Queries") -> int:
        """How many entries of the table have another weight; all of them where there are not as many."""
        if self.weights.shape != other.weights.shape:
            return max(len(self.weights), len(other.weights))
        return int((self.weights != other.weights).sum())

    def _rows(self) -> list[tuple[np.ndarray, np.ndarray]]:
        places = list(zip(self.starts[:-1], self.starts[1:], strict=True))
        return [(self.indices[start:end], self.values[start:end]) for start, end in places]


def make(variant: LoadedVariant, texts: Sequence[str]) -> Queries | None:
    """The texts as queries by Sentence Transformers, each alone; None of a model without a table for queries."""
    table = sides.table(variant.model)
    if not isinstance(variant, EmbeddingVariant) or table is None:
        return None
    indices, values = [], []
    for start in range(0, len(texts), AT_ONCE):
        for row in variant.embed(texts[start : start + AT_ONCE], 1, "encode_query"):
            indices.append(np.flatnonzero(row))
            values.append(row[indices[-1]])
    weights = table.weight.detach().float().cpu().numpy()
    return from_rows(weights, indices, values)


def from_rows(weights: np.ndarray, indices: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> Queries:
    """Queries by the entries and the values of each text."""
    starts = np.cumsum([0, *map(len, indices)]).astype(np.int64)
    joined = [np.zeros(0, np.int64), *indices]
    return Queries(
        weights.astype(np.float32),
        starts,
        np.concatenate(joined).astype(np.int64),
        np.concatenate([np.zeros(0, np.float32), *values]).astype(np.float32),
    )


def write(folder: Path, queries: Queries) -> None:
    """Write queries into an existing folder."""
    np.savez(folder / FILE, allow_pickle=False, **vars(queries))


def read(folder: Path) -> Queries | None:
    """Read what `write` wrote; None where it wrote nothing."""
    if not (folder / FILE).is_file():
        return None
    with np.load(folder / FILE) as arrays:
        return Queries(**arrays)
