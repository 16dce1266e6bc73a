"""The hard texts of the tiny model."""

from pathlib import Path

from foundry.reference import reference


def test_hard_texts_reach_the_maximum_length_exactly(tiny: Path) -> None:
    expected = reference.read(tiny.parent.parent / "reference/tiny")
    tokens = dict(zip(expected.hard_texts, expected.tokens[48:], strict=True))
    assert len(tokens["exactly_max_length"]) == 64
    assert tokens["exactly_max_length"] != tokens["beyond_max_length"]
    assert len(tokens["beyond_max_length"]) == len(tokens["repeated_words"]) == 64
    assert len(tokens["empty"]) == 2
    assert 0 < expected.vocabulary_covered <= expected.vocabulary_size
