"""A chat template, as texts that stand around a query and a document: what a reranker of a language model reads.

The template itself is a program in jinja, which is not run here. `download` of Embedding Foundry renders it, and writes
what it comes to into a file beside the tokenizer's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "pair_template.json"
QUERY, DOCUMENT, PROMPT = PARTS = ("query", "document", "prompt")
# The keys of the file: what is rendered for a pair alone, and for one with a prompt.
WITHOUT_PROMPT, WITH_PROMPT = "without_prompt", "with_prompt"
# Of these, tokenized alike but for the fillers, Sentence Transformers takes what both end with for the template's end.
FILLERS = ("0", "1 2 3 4")

Segment = tuple[str, str]  # `text` with the text itself, or `part` with one of PARTS


@dataclass(frozen=True)
class PairTemplate:
    """What is put around the parts of a pair, in the order in which it is read."""

    without_prompt: tuple[Segment, ...]
    with_prompt: tuple[Segment, ...]

    def render(self, query: str, document: str, prompt: str = "") -> str:
        """The text that the tokenizer takes for a pair; a prompt may have a place of its own in it."""
        given = {QUERY: query, DOCUMENT: document, PROMPT: prompt}
        segments = self.with_prompt if prompt else self.without_prompt
        return "".join(given[value] if kind == "part" else value for kind, value in segments)

    def as_json(self) -> dict[str, list[list[str]]]:
        """What the file holds."""
        return {
            WITHOUT_PROMPT: [list(segment) for segment in self.without_prompt],
            WITH_PROMPT: [list(segment) for segment in self.with_prompt],
        }


def read(value: Any) -> PairTemplate:
    """The template that a file holds.

    Raises:
        ValueError: when it is none.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{NAME} is no object")
    return PairTemplate(_segments(value.get(WITHOUT_PROMPT)), _segments(value.get(WITH_PROMPT)))


def _segments(rows: Any) -> tuple[Segment, ...]:
    """The segments in a list, each part of a pair among them once."""
    if not isinstance(rows, Sequence) or any(
        not isinstance(row, Sequence) or len(row) != 2 or not all(isinstance(value, str) for value in row)
        for row in rows
    ):
        raise ValueError(f"{NAME} has a list whose rows are no pairs of texts")
    parts = [value for kind, value in rows if kind == "part"]
    is_known = all(kind in ("text", "part") for kind, _ in rows) and set(parts) <= set(PARTS)
    if not is_known or parts.count(QUERY) != 1 or parts.count(DOCUMENT) != 1 or parts.count(PROMPT) > 1:
        raise ValueError(f"{NAME} has the parts {', '.join(parts)}; a query and a document are expected, once each")
    if parts[-1] == PROMPT:
        raise ValueError(f"{NAME} puts the prompt behind the pair, and what is cut off a long text is not known then")
    return tuple((kind, value) for kind, value in rows)


def common_end(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """The ids that two texts, which differ, end with alike; none where one of them is the whole end of the other."""
    count = 0
    while count < min(len(first), len(second)) and first[-1 - count] == second[-1 - count]:
        count += 1
    return list(first[len(first) - count :]) if 0 < count < min(len(first), len(second)) else []
