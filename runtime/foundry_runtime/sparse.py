"""Texts to sparse embeddings, as SparseEncoder.encode gives them, without torch's sparse tensors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundry_runtime.model import check_texts
from foundry_runtime.router import Role
from foundry_runtime.text_model import TextModel

Row = tuple[np.ndarray, np.ndarray]  # of a text, which entries of the vocabulary are not zero, and their values


@dataclass(frozen=True)
class SparseEmbeddings:
    """Embeddings (texts, vocabulary) of which only what is not zero is stored, text by text (CSR).

    `scipy.sparse.csr_array((values, indices, starts), shape)` is the same.
    """

    starts: np.ndarray  # (texts + 1,) int64: where each text begins in the other two
    indices: np.ndarray  # int64, rising within a text: which entry of the vocabulary
    values: np.ndarray  # float32
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, text: int) -> tuple[np.ndarray, np.ndarray]:
        """The indices and the values of one text."""
        if not -len(self) <= text < len(self):
            raise IndexError(text)
        here = slice(*self.starts[[text % len(self), text % len(self) + 1]])
        return self.indices[here], self.values[here]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[text] for text in range(len(self)))

    def to_dense(self) -> np.ndarray:
        """The same, zeros and all: (texts, vocabulary) in float32."""
        dense = np.zeros(self.shape, np.float32)
        dense[np.repeat(np.arange(len(self)), np.diff(self.starts)), self.indices] = self.values
        return dense


class SparseEmbedder(TextModel[SparseEmbeddings]):
    """A SparseEncoder; see `Model` for the arguments.

    Args:
        max_active_dims: How many entries of an embedding stay, the largest; by default what the model says, else all.
    """

    kind: ClassVar[str] = "SparseEncoder"
    _finished_output = "sparse_embedding"
    _default_similarity: ClassVar[str] = "dot"

    def __init__(
        self, model: str | Path, variant: str | None = None, *, max_active_dims: int | None = None, **options: Any
    ) -> None:
        super().__init__(model, variant, **options)
        saved = self._layout.model_settings.get("max_active_dims")
        self.max_active_dims = max_active_dims if max_active_dims is not None else saved

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        task: str | None = None,
        batch_size: int | None = None,
        max_active_dims: int | None = None,
        show_progress: bool = False,
    ) -> SparseEmbeddings:
        """Sparse embeddings in the order of the texts; of a single text one row. See `Embedder.encode`."""
        listed = check_texts([texts] if isinstance(texts, str) else texts)
        role = self._role(task)
        if not listed:
            width = self.encode([""], task=task).shape[1]
            return SparseEmbeddings(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), (0, width))
        before = self._prompt(prompt, prompt_name)
        limit = max_active_dims if max_active_dims is not None else self.max_active_dims
        if limit is not None and limit <= 0:
            raise ValueError(f"max_active_dims is {limit}, must be at least 1")
        prompted = [before + text for text in listed]
        if role == "query" and self._query_table is not None:
            found, width = self._query_table.embed(prompted), len(self._query_table.weights)
            if limit is not None:
                found = [
                    (indices[kept], values[kept]) for indices, values in found for kept in [_largest(values, limit)]
                ]
        else:
            found, width = self._by_graph(prompted, limit, batch_size, show_progress, role)
        starts = np.cumsum([0, *(len(indices) for indices, _ in found)])
        indices, values = (np.concatenate([pair[part] for pair in found]) for part in (0, 1))
        return SparseEmbeddings(starts, indices, values, (len(listed), width))

    def _by_graph(
        self, texts: list[str], limit: int | None, batch_size: int | None, show_progress: bool, role: Role | None
    ) -> tuple[list[Row], int]:
        """What is not zero of each text's embedding, of more than `limit` entries the largest; and the vocabulary's
        size."""
        found: list[Row] = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(texts)
        width = 0
        for places, rows in self._rows(texts, batch_size, show_progress, role=role):
            width = rows.shape[1]
            for place, row in zip(places, rows, strict=True):
                indices = _largest(row, limit)
                found[place] = (indices, row[indices])
        return found, width

    @property
    def query_weights(self) -> np.ndarray | None:
        """The weight of each entry of the vocabulary in a query, (vocabulary,) in float32, where queries are looked up
        in a table; else None."""
        return None if self._query_table is None else self._query_table.weights

    def similarity(self, a: SparseEmbeddings, b: SparseEmbeddings) -> np.ndarray:
        """How alike each embedding of `a` is to each of `b`, (a, b), by the model's own measure."""
        return self._similarity(a.to_dense(), b.to_dense())

    def decode(self, embeddings: SparseEmbeddings, top_k: int | None = None) -> list[list[tuple[str, float]]]:
        """For each text the entries of the vocabulary that stand for it and their weights, the largest first."""
        decoded = []
        for indices, values in embeddings:
            order = np.argsort(-values, kind="stable")[:top_k]
            decoded.append([(self._tokens.token(int(indices[i])), float(values[i])) for i in order])
        return decoded


def _largest(row: np.ndarray, limit: int | None) -> np.ndarray:
    """Which entries of a row (vocabulary,) are not zero, rising; of more than `limit` the largest."""
    indices = np.flatnonzero(row)
    if limit is not None and len(indices) > limit:
        largest = np.argpartition(-np.abs(row[indices]), limit - 1)[:limit]
        indices = np.sort(indices[largest])
    return indices
