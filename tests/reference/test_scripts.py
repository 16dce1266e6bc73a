"""Scripts of texts and vocabularies, with a tiny tokenizer of many languages."""

from pathlib import Path

import pytest

from foundry.reference import scripts

ENGLISH = ["The council will meet on Tuesday."] * 48
WORDS = {
    "Latin": ["council", "Rat", "größer", "été"], "Cyrillic": ["совет", "вторник"], "Han": ["议", "会", "星期二"],
    "Arabic": ["مجلس"], "Devanagari": ["परिषद"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Der Rat tagt.", "Latin"), ("Совет OK", "Cyrillic"), ("今天天气很好。", "Han"), ("東京の", "Han"),
        ("ありがとう", "Hiragana"), ("1,000 %", None), ("", None), ("👍", None), ("\ufffd", None), ("e\u0301", "Latin"),
    ],
)  # fmt: skip
def test_a_text_is_in_the_script_of_most_of_its_letters(text: str, script: str | None) -> None:
    assert scripts.main_script(text) == script


def test_scripts_of_the_vocabulary_without_texts_are_named() -> None:
    vocabulary = [word for words in WORDS.values() for word in words]
    counted: scripts.Scripts = {"texts": scripts.count(ENGLISH), "vocabulary": scripts.count([*vocabulary, "[CLS]"])}
    assert counted["texts"] == {"Latin": 48}
    assert counted["vocabulary"]["Latin"] == 5  # the mark of the beginning is one
    assert scripts.uncovered(counted) == [
        "Han (25% of the vocabulary, no text)", "Cyrillic (17% of the vocabulary, no text)",
        "Arabic (8% of the vocabulary, no text)", "Devanagari (8% of the vocabulary, no text)",
    ]  # fmt: skip
    counted["texts"] |= {"Han": 10, "Cyrillic": 9, "Arabic": 1}
    assert [line.partition(" ")[0] for line in scripts.uncovered(counted)] == ["Cyrillic", "Arabic", "Devanagari"]
    assert "9 texts" in scripts.uncovered(counted)[0]
    assert "1 text)" in scripts.uncovered(counted)[1]


def test_a_few_letters_of_another_script_are_no_reason_to_warn() -> None:
    assert scripts.uncovered({"texts": {"Latin": 48}, "vocabulary": {"Latin": 9840, "Han": 160}}) == []


@pytest.mark.parametrize("kind", ["wordpiece", "byte-level"])
def test_a_vocabulary_of_many_languages_is_read_as_text(tmp_path: Path, kind: str) -> None:
    from tests.support.checkpoints import multilingual_tokenizer

    tokenizer = multilingual_tokenizer(tmp_path, [word for words in WORDS.values() for word in words], kind)
    entries = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
    counted = scripts.count(entries)
    assert counted.keys() >= {"Latin", "Cyrillic", "Han", "Arabic"}
    # The bytes of other scripts are written in Latin letters in a byte-level vocabulary, and must not count as such.
    assert not any("Ð" in entry or "Ø" in entry for entry in entries if len(entry) > 1)
