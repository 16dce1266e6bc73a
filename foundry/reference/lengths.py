"""Texts of every length: spread over the whole range up to the model's maximum, counted in its own tokens.

A graph may be right for short and for the longest inputs alone, and wrong between them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from foundry.loading.items import PASSAGES_PER_QUERY, Item, Query
from foundry.loading.variant import LoadedVariant

LONGEST_TOKENS = 8192  # Longer inputs take hours on a processor, and a model without a limit has no last length.
SHORTEST = 8  # Each length up to here is tried.
STEP = 8  # From there on every eighth,
GROWING_FROM = 256
GROWTH = 1.25  # and from 256 tokens on, the next one is a quarter longer.
LENGTHS_OF_PAIRS = 4  # A CrossEncoder's item is several pairs, so it is tried at every fourth of the lengths.
FILLER = "the"
MOST_FILLERS = 8


class TextOfLength(NamedTuple):
    """Two items of the same number of tokens: one is embedded alone, and both are embedded in a batch."""

    tokens: int  # of each text, or of each pair of a query, special tokens included
    first: Item
    second: Item


def schedule(maximum: int | None) -> list[int]:
    """Which lengths are tried, in tokens: every one up to 8, then every eighth up to 256, from there on each a quarter
    longer than the last; the neighbours of powers of two; and the maximum with the length before it.

    >>> schedule(20)
    [1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 19, 20]
    """
    longest = min(maximum or LONGEST_TOKENS, LONGEST_TOKENS)
    lengths = set(range(1, SHORTEST + 1))
    length = SHORTEST
    while length < longest:
        lengths.add(length)
        length = int(length * GROWTH) if length >= GROWING_FROM else length + STEP
    powers = {2**exponent for exponent in range(4, longest.bit_length())}
    lengths |= {power + difference for power in powers for difference in (-1, 0, 1)} | {longest - 1, longest}
    return sorted(length for length in lengths if 0 < length <= longest)


def make(variant: LoadedVariant, texts: Sequence[str], lengths: Sequence[int]) -> list[TextOfLength]:
    """Items of these lengths, cut from the texts. A length that the tokenizer cannot make is left out."""
    words = " ".join(texts).split() or [FILLER]
    if variant.kind == "CrossEncoder":
        lengths = [*lengths[::-LENGTHS_OF_PAIRS]][::-1]
    result = []
    for number, length in enumerate(lengths):
        items = list(_items_of_length(variant, words, length, number))
        if items:
            result.append(TextOfLength(length, items[0], items[-1]))
    return result


def _items_of_length(variant: LoadedVariant, words: Sequence[str], length: int, number: int) -> Iterator[Item]:
    """Up to two items of a length, from different places of the words, so that no two lengths have the same text."""
    if variant.kind != "CrossEncoder":
        for start in _places(words, number, 2):
            text = cut(lambda text: len(variant.token_ids([text])[0]), start, length)
            if text is not None:
                yield text
        return
    starts = list(_places(words, number, 2 * (PASSAGES_PER_QUERY + 1)))
    for half in (starts[: PASSAGES_PER_QUERY + 1], starts[PASSAGES_PER_QUERY + 1 :]):
        query = " ".join(half[0][: min(max(length // 8, 1), 12)])
        count: Callable[[str], int] = lambda text, query=query: len(variant.token_ids([Query(query, (text,))])[0])  # type: ignore[misc]  # noqa: E731
        passages = [cut(count, start, length) for start in half[1:]]
        if all(passage is not None for passage in passages):
            yield Query(query, tuple(passage for passage in passages if passage is not None))


def _places(words: Sequence[str], number: int, count: int) -> Iterator[list[str]]:
    """The words from different places on, beginning again at the end."""
    for step in range(count):
        start = (number * count + step) * 37 % len(words)
        yield [*words[start:], *words[:start]]


def cut(count: Callable[[str], int], words: Sequence[str], length: int) -> str | None:
    """The first of the words, of which the tokenizer makes exactly so many tokens by `count`; some fillers may follow.

    None where it makes no text of that length.
    """
    repeated = [words[index % len(words)] for index in range(length)]
    low, high = 0, length  # A word is a token or more.
    while low < high:
        middle = (low + high) // 2
        if count(" ".join(repeated[:middle])) < length:
            low = middle + 1
        else:
            high = middle
    text = " ".join(repeated[:low])
    if count(text) == length:
        return text
    shorter = repeated[: max(low - 1, 0)]
    for _ in range(MOST_FILLERS):
        shorter.append(FILLER)
        tokens = count(" ".join(shorter))
        if tokens >= length:
            return " ".join(shorter) if tokens == length else None
    return None
