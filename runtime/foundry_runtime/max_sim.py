"""How alike two texts are that have a vector for each token."""

from collections.abc import Iterator, Sequence

import numpy as np

DOCUMENTS_AT_ONCE = 256  # whose products with a query's tokens are in memory


def max_sim(queries: Sequence[np.ndarray], documents: Sequence[np.ndarray], by_length: bool = False) -> np.ndarray:
    """MaxSim (Khattab and Zaharia 2020): of each vector of a query the largest product with one of the document, summed
    over the query; with `by_length` their mean. (queries, documents) in float32.

    Args:
        queries: Vectors of each, (tokens, dimensions).
        documents: The same.
    """
    scores = np.zeros((len(queries), len(documents)), np.float32)
    for first, stacked, starts in _stacks(documents):
        for row, query in enumerate(queries):
            best = np.maximum.reduceat(query @ stacked.T, starts, axis=1)
            scores[row, first : first + len(starts)] = best.sum(axis=0)
    if by_length:
        scores /= np.array([max(len(query), 1) for query in queries], np.float32)[:, None]
    return scores


def _stacks(documents: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Vectors of some documents at a time: the first one's number, all vectors, and where each document begins."""
    for first in range(0, len(documents), DOCUMENTS_AT_ONCE):
        some = documents[first : first + DOCUMENTS_AT_ONCE]
        if empty := [number for number, vectors in enumerate(some, first) if not len(vectors)]:
            raise ValueError(f"document {empty[0]} has no vectors, and nothing to be compared with")
        yield first, np.concatenate(some), np.cumsum([0, *map(len, some[:-1])])
