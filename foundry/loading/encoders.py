"""Every kind of model behind one method: `encode` gives a row of numbers for each item.

An item of a SentenceTransformer or SparseEncoder is a text, and its row the embedding; a sparse one is written out,
zeros and all. An item of a CrossEncoder is a query with a few passages, and its row their scores before the activation,
which would hide a difference where it saturates. A model that was trained with prompts gets them: a short text is taken
for a query, a longer one for a document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

QUERY_WORDS = 8  # a text of at most so many is embedded as a query where the model has prompts
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # Sentence Transformers' names, in its order
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


def is_query(text: str) -> bool:
    """Whether a text is embedded as a query, by a model that has prompts."""
    return len(text.split()) <= QUERY_WORDS


def with_prompt(text: str, prompts: Mapping[str, str], default: str | None) -> str:
    """The text as a model with these prompts reads it: as Sentence Transformers puts its prompt before it."""
    names = ("query",) if is_query(text) else DOCUMENT_PROMPTS
    return next((prompts[name] for name in (*names, default) if name in prompts), "") + text


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
        return self._rows(self.model.encode, texts, options)

    def encode_query(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        return self._rows(self.model.encode_query, texts, options)

    def encode_document(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        return self._rows(self.model.encode_document, texts, options)

    def _rows(self, embed: Any, texts: Sequence[str], options: dict[str, Any]) -> np.ndarray:
        options = {key: value for key, value in options.items() if key not in ("convert_to_numpy", "convert_to_tensor")}
        rows: np.ndarray = embed(list(texts), convert_to_sparse_tensor=False, **options).cpu().numpy()
        return rows


class Prompted(Encoder):
    """A model with prompts: (texts, dimensions), each text embedded as what it is taken for."""

    def encode(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        places = {
            as_query: [i for i, text in enumerate(texts) if is_query(text) == as_query] for as_query in (True, False)
        }
        embed = {True: self.model.encode_query, False: self.model.encode_document}
        parts = [embed[which]([texts[i] for i in some], **options) for which, some in places.items() if some]
        order = [i for some in places.values() for i in some]
        rows: np.ndarray = np.concatenate(parts)[np.argsort(order)]
        return rows


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
