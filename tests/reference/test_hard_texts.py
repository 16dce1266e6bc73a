"""The hard texts of the tiny model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from foundry.reference import reference
from foundry.reference.hard_texts import make_hard_texts


def test_hard_texts_reach_the_maximum_length_exactly(tiny: Path) -> None:
    expected = reference.read(tiny.parent.parent / "reference/tiny")
    tokens = dict(zip(expected.hard_texts, expected.tokens[48:], strict=True))
    assert len(tokens["exactly_max_length"]) == 64
    assert tokens["exactly_max_length"] != tokens["beyond_max_length"]
    assert len(tokens["beyond_max_length"]) == len(tokens["repeated_words"]) == 64
    assert len(tokens["empty"]) == 2
    assert 0 < expected.vocabulary_covered <= expected.vocabulary_size


@pytest.mark.parametrize(("kind", "words"), [("CrossEncoder", 1024), ("SentenceTransformer", 10_000)])
def test_a_pair_is_not_so_long_that_its_tokenizer_takes_seconds(kind: str, words: int) -> None:
    def token_ids(texts: list[str]) -> list[list[int]]:
        return [[0, *range(len(text.split())), 1] for text in texts]

    variant = SimpleNamespace(kind=kind, max_seq_length=64, token_ids=token_ids)
    texts = make_hard_texts(cast(Any, variant))
    assert len(texts["repeated_words"].split()) == words
    assert len(texts["exactly_max_length"].split()) == 62
