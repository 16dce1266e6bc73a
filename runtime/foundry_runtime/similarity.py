"""How alike two embeddings are, by the names that Sentence Transformers gives to these functions."""

from collections.abc import Callable

import numpy as np

from foundry_runtime.errors import UnusableModel
from foundry_runtime.head import normalize

Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return normalize(a) @ normalize(b).T


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T


def _euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return -np.sqrt(np.maximum(squares, 0))


def _manhattan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return -np.stack([np.abs(row - b).sum(axis=1) for row in a]) if len(a) else np.zeros((0, len(b)), np.float32)


FUNCTIONS: dict[str, Similarity] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}


def by_name(name: str) -> Similarity:
    """The function of a name, for rows (n, dimensions) and (m, dimensions): (n, m), larger where they are more alike.

    Raises:
        UnusableModel: for a name that Sentence Transformers does not know either.
    """
    if name not in FUNCTIONS:
        raise UnusableModel(f"similarity {name!r} is not known; known are {', '.join(FUNCTIONS)}")
    function = FUNCTIONS[name]
    return lambda a, b: function(np.atleast_2d(a), np.atleast_2d(b))
