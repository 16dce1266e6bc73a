"""Texts that are shortened before they are tokenized: the same tokens as of the whole."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from foundry_runtime.folder import open_folder
from foundry_runtime.layout import read_layout
from foundry_runtime.tokens import Encoded, Text, Tokens

from foundry.base import files
from foundry.reference.nasty_texts import PIECES, nasty_texts
from tests.support.texts import documents

MAXIMUM = 24


def opened(folder: Path) -> Tokens:
    model = open_folder(folder, verify=False)
    return Tokens(model, read_layout(model), MAXIMUM)


@pytest.fixture
def tokens(tiny: Path) -> Tokens:
    return opened(tiny / "torch")


def of_the_whole(tokens: Tokens, texts: Sequence[Text]) -> list[list[int]]:
    return [entry.ids for entry in tokens._encode(texts)]


def test_tokens_are_those_of_the_whole_text(tokens: Tokens) -> None:
    generator = random.Random(1)
    long = [
        "".join(generator.choice((" ", "", "  ", "\t", "\u2003")) + piece for piece in generator.choices(PIECES, k=200))
        for _ in range(200)
    ]
    texts = [*nasty_texts(1000, documents(), seed=3), *long, " " * 5000, "a" * 5000, "\u0301 " * 400, "x " + "y" * 900]
    assert sum(tokens._shortened(text) is not text for text in texts) > 300
    assert [entry.ids for entry in tokens.encode(texts)] == of_the_whole(tokens, texts)


def test_only_the_beginning_is_tokenized(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Text] = []
    encode = tokens._encode

    def watched(texts: Sequence[Text]) -> list[Encoded]:
        asked.extend(texts)
        return encode(texts)

    monkeypatch.setattr(tokens, "_encode", watched)
    long, odd = "the people of " * 500, "\u0301 " * 300 + "the people " * 100
    assert len(tokens.encode([long, odd, "short"])[0]) == MAXIMUM
    assert [len(text) < 200 for text in asked] == [True, True, True, False]
    assert asked[-1] == odd  # whose beginning has no tokens at all


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer_config.json", {"truncation_side": "left"}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}),
        ("tokenizer.json", {"normalizer": {"type": "NFC"}}),
    ],
)
def test_where_a_token_may_depend_on_what_follows_all_is_tokenized(
    tiny: Path, tmp_path: Path, name: str, change: dict[str, object]
) -> None:
    for path in (tiny / "torch").rglob("*.json"):
        target = tmp_path / path.relative_to(tiny / "torch")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    settings = files.read_json(tmp_path / "tokenizer_config.json") | {"tokenizer_class": "PreTrainedTokenizerFast"}
    files.write_json(tmp_path / "tokenizer_config.json", settings)
    files.write_json(tmp_path / name, files.read_json(tmp_path / name) | change)
    tokens = opened(tmp_path)
    texts = ["the people of " * 500 + "the end", *documents()[:3]]
    assert tokens._may_shorten is False
    assert [entry.ids for entry in tokens.encode(texts)] == of_the_whole(tokens, texts)
