"""Items: what a model of each kind takes one at a time, and what a tokenizer takes of them.

An item of a CrossEncoder is a query with a few passages, and of any other kind a text.
"""

from collections.abc import Sequence
from typing import NamedTuple

from foundry.variants.checkpoint_folder import Kind

PASSAGES_PER_QUERY = 4  # the query's own text, and three others'


class Query(NamedTuple):
    """What a CrossEncoder scores: each passage for the query."""

    text: str
    passages: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query with each passage, as a tokenizer takes them."""
        return [(self.text, passage) for passage in self.passages]


Item = str | Query


def make_items(texts: Sequence[str], kind: Kind, passages_per_query: int = PASSAGES_PER_QUERY) -> list[Item]:
    """One item per text: the text as it is; for a CrossEncoder, its first half as a query.

    The passages of such a query are the whole text and the texts after it, so a slice of the items has the same
    passages as all of them only when it is taken after this call.
    """
    return list(make_queries(texts, passages_per_query)) if kind == "CrossEncoder" else list(texts)


def make_queries(texts: Sequence[str], passages_per_query: int) -> list[Query]:
    """The first half of each text as a query, with the whole text and the ones after it as passages."""
    queries = []
    for index, text in enumerate(texts):
        words = text.split()
        first_half = " ".join(words[: max(1, len(words) // 2)])
        passages = tuple(texts[(index + step) % len(texts)] for step in range(passages_per_query))
        queries.append(Query(first_half, passages))
    return queries


def tokenizer_inputs(items: Sequence[Item]) -> list[str | tuple[str, str]]:
    """All that a tokenizer takes of the items: the texts, or every pair of every query."""
    return [part for item in items for part in ([item] if isinstance(item, str) else item.pairs)]


def first_tokenizer_input(item: Item) -> str | tuple[str, str]:
    """What stands for the item where one input is enough: the text, or the query's first pair."""
    return item if isinstance(item, str) else item.pairs[0]
