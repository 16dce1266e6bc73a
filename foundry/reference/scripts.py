"""Which scripts a vocabulary is made for, and which of them the texts are written in."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TypedDict

# A script is one that a vocabulary is made for from this share of its entries up. The vocabulary of an English model
# has letters of many scripts, the most of them Chinese characters (1.6% in that of BERT).
VOCABULARY_SHARE = 0.02
# A script is covered from so many texts up: fewer say little of how well a variant embeds such texts.
COVERING_TEXTS = 10


class Scripts(TypedDict):
    """By script, in Unicode's names: how many texts and how many vocabulary entries are written in it."""

    texts: dict[str, int]
    vocabulary: dict[str, int]


def count(strings: Iterable[str]) -> dict[str, int]:
    """How many of the strings are written in each script, the most frequent first; those without letters in none."""
    scripts = Counter(script for string in strings if (script := main_script(string)) is not None)
    return dict(scripts.most_common())


def main_script(string: str) -> str | None:
    """The script of most letters, such as `Latin`, or None where there is no letter."""
    letters = Counter(_script(letter) for letter in string if letter.isalpha())
    for shared in ("Common", "Inherited", "Unknown"):  # letters that several scripts use, or none
        letters.pop(shared, None)
    return letters.most_common(1)[0][0] if letters else None


@cache
def _script(letter: str) -> str:
    from fontTools import unicodedata

    name: str = unicodedata.script_name(unicodedata.script(letter))
    return name


def uncovered(scripts: Scripts) -> list[str]:
    """The scripts that the vocabulary is made for and that hardly any text is in, each with both figures."""
    total = sum(scripts["vocabulary"].values())
    return [
        f"{script.replace('_', ' ')} ({entries / total:.0%} of the vocabulary, {_texts(scripts['texts'], script)})"
        for script, entries in scripts["vocabulary"].items()
        if entries >= VOCABULARY_SHARE * total and scripts["texts"].get(script, 0) < COVERING_TEXTS
    ]


def _texts(texts: Mapping[str, int], script: str) -> str:
    number = texts.get(script, 0)
    return "no text" if number == 0 else f"{number} text{'s' if number > 1 else ''}"
