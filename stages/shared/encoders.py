"""Every kind of model behind one method: `encode` gives a row of numbers for each item.

An item of a SentenceTransformer or SparseEncoder is a text, and its row the embedding; a sparse one is written out,
zeros and all. An item of a CrossEncoder is a query with a few passages, and its row their scores before the activation,
which would hide a difference where it saturates.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

PASSAGES = 4  # that a query is scored against: its own text, and three others'


class Query(NamedTuple):
    """What a CrossEncoder scores: each passage for the query."""

    text: str
    passages: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(self.text, passage) for passage in self.passages]


Item = str | Query


def items(texts: Sequence[str], of_pairs: bool, passages: int = PASSAGES) -> list[Item]:
    """The texts as they are; or, for a CrossEncoder, each one's first half with its whole and the texts after it."""
    if not of_pairs:
        return list(texts)
    found: list[Item] = []
    for index, text in enumerate(texts):
        words = text.split()
        query = " ".join(words[: max(1, len(words) // 2)])
        found.append(Query(query, tuple(texts[(index + step) % len(texts)] for step in range(passages))))
    return found


def inputs(some: Sequence[Item]) -> list[str | tuple[str, str]]:
    """What a tokenizer takes of the items: texts, or every pair."""
    return [part for item in some for part in ([item] if isinstance(item, str) else item.pairs)]


def tokenizable(item: Item) -> str | tuple[str, str]:
    """What a model's own `preprocess` takes of an item: the text, or the first pair."""
    return item if isinstance(item, str) else item.pairs[0]


class Encoder:
    """A loaded model; what is not `encode` is the model's own."""

    of_pairs = False

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __getitem__(self, index: int) -> Any:
        return self.model[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.model)

    def __len__(self) -> int:
        return len(self.model)


class SparseRows(Encoder):
    """A SparseEncoder: (texts, vocabulary), in fp32."""

    def encode(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        options = {key: value for key, value in options.items() if key not in ("convert_to_numpy", "convert_to_tensor")}
        rows: np.ndarray = self.model.encode(list(texts), convert_to_sparse_tensor=False, **options).cpu().numpy()
        return rows

    encode_query = encode_document = encode


class PairScores(Encoder):
    """A CrossEncoder: (queries, passages x labels), before the activation, in fp32."""

    of_pairs = True

    def encode(self, queries: Sequence[Query], batch_size: int = 32, show_progress_bar: bool = False) -> np.ndarray:
        import torch

        pairs = [pair for query in queries for pair in query.pairs]
        scores: np.ndarray = self.model.predict(
            pairs, batch_size=batch_size, show_progress_bar=show_progress_bar, activation_fn=torch.nn.Identity()
        )
        return scores.reshape(len(queries), -1)
