"""sample: seeded, without overlap, and what is missing or too little is an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import sampling, texts
from foundry.reference import scripts
from stages import sample
from tests.support.stages import settings_file

NAMES = ("calibration", "validation", "benchmark")


def hashes(folder: Path) -> dict[str, str]:
    return {name: files.sha256(folder / f"{name}.jsonl") for name in NAMES}


def test_same_seed_same_bytes_other_seed_others(project: Callable[..., Path]) -> None:
    root = project()
    sample.main(settings_file("sample"), root / "a")
    sample.main(settings_file("sample"), root / "b")
    project(lambda raw: raw["sample"].update(seed=7))
    sample.main(settings_file("sample"), root / "c")
    assert hashes(root / "a") == hashes(root / "b")
    assert not set(hashes(root / "a").values()) & set(hashes(root / "c").values())


def test_a_changed_set_leaves_the_others_alone(project: Callable[..., Path]) -> None:
    root = project()
    sample.main(settings_file("sample"), root / "a")
    project(lambda raw: raw["sample"]["benchmark"]["groups"]["short"].update(count=5))
    sample.main(settings_file("sample"), root / "b")
    before, after = hashes(root / "a"), hashes(root / "b")
    assert [name for name in NAMES if before[name] != after[name]] == ["benchmark"]


def test_sets_share_no_document(project: Callable[..., Path]) -> None:
    root = project()
    source = root / "numbers.txt"
    source.write_text("\n".join(f"This is document number {i}. It has two sentences, {i}." for i in range(200)))

    def change(raw: dict[str, Any]) -> None:
        raw["sample"]["sources"] = {"numbers": {"path": str(source)}}
        for name, share in zip(NAMES, (0.3, 0.3, 0.4), strict=True):
            raw["sample"][name]["share"] = {"numbers": share}

    project(change)
    sample.main(settings_file("sample"), root / "texts")
    numbers = []
    for name in NAMES:
        words = " ".join(row["text"] for row in texts.read(root / "texts" / f"{name}.jsonl")).split()
        numbers.append({word.strip(".,") for word in words if word.strip(".,").isdigit()})
    assert all(numbers)
    assert not numbers[0] & numbers[1]
    assert not numbers[0] & numbers[2]
    assert not numbers[1] & numbers[2]


def test_empty_and_repeated_are_dropped_and_counted() -> None:
    assert sampling.clean(["a", " a ", "", "  ", "b", "b"]) == (["a", "b"], 2, 2)


def test_pieces_have_the_length_asked_for_and_end_with_a_word() -> None:
    words = [f"word{i}" for i in range(500)]
    cut = list(sampling.pieces([" ".join(words[:300]), " ".join(words[300:])], 40))
    assert all(40 <= len(piece) <= 50 for piece in cut)
    assert " ".join(cut).split() == words[: len(" ".join(cut).split())]


def test_too_few_is_an_error(project: Callable[..., Path]) -> None:
    root = project(lambda raw: raw["sample"]["benchmark"]["groups"]["long"].update(count=10**6))
    with pytest.raises(FoundryError, match=r"sample.benchmark.groups.long wants 1000000 texts"):
        sample.main(settings_file("sample"), root / "texts")
    assert not (root / "texts").exists()


def test_a_file_of_blank_lines_is_an_error(project: Callable[..., Path]) -> None:
    root = project()
    (root / "empty.txt").write_text("\n\n")
    project(lambda raw: raw["sample"]["sources"].update(news={"path": "empty.txt"}))
    with pytest.raises(FoundryError, match="source news holds no text"):
        sample.main(settings_file("sample"), root / "texts")


def test_line_separators_inside_a_text_survive(tmp_path: Path) -> None:
    texts.write(tmp_path / "t.jsonl", [{"group": "g", "text": "one\u2028still one\nand\x85more"}])
    assert texts.read(tmp_path / "t.jsonl") == [{"group": "g", "text": "one\u2028still one\nand\x85more"}]


@pytest.mark.parametrize(
    "content", ['{"group": "g", "text": "a"}\n{"group": "g", "te', '{"group": "g", "text": null}\n', ""]
)
def test_frozen_texts_that_are_damaged_are_an_error_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.jsonl").write_text(content)
    with pytest.raises(FoundryError, match=r"^.*t\.jsonl.*$"):
        texts.read(tmp_path / "t.jsonl")


def test_sentences_of_at_most_so_many_words(project: Callable[..., Path]) -> None:
    root = project()
    source = root / "talk.txt"
    long = "This sentence goes on for rather more words than anybody would type into a box."
    source.write_text("\n".join(f"{long} The man number {i} is talking. 今天天气很好{i}。" for i in range(60)))

    def change(raw: dict[str, Any]) -> None:
        raw["sample"]["sources"] = {"talk": {"path": str(source)}}
        for name in NAMES:
            raw["sample"][name]["share"] = {"talk": 0.3}
            raw["sample"][name]["groups"] = {"spoken": {"count": 30, "cut": "sentence", "max_words": 6}}

    project(change)
    sample.main(settings_file("sample"), root / "texts")
    drawn = [row["text"] for name in NAMES for row in texts.read(root / "texts" / f"{name}.jsonl")]
    assert len(drawn) == len(set(drawn)) == 90
    assert all(text.startswith(("The man number", "今天天气很好")) for text in drawn)


def test_words_are_counted_where_no_spaces_are() -> None:
    assert sampling.word_count("The man is talking.") == 4
    assert sampling.word_count("今天天气很好，我们去公园散步吧，你要不要一起来？") == 8


def test_texts_by_language_from_a_package(project: Callable[..., Path]) -> None:
    """The rows of docs/data.md for a model of several languages."""

    def change(raw: dict[str, Any]) -> None:
        rows = {
            language: {
                "package": "chatterbot_corpus", "path": f"data/{language}/conversations.yml", "column": "conversations"
            }
            for language in ("german", "chinese")
        }  # fmt: skip
        raw["sample"]["sources"] |= rows
        for name in NAMES:
            raw["sample"][name]["share"] = dict.fromkeys(rows, 0.3)
            raw["sample"][name]["groups"] = {"talk": {"count": 24, "cut": "document"}}

    root = project(change)
    sample.main(settings_file("sample"), root / "texts")
    for name in NAMES:
        drawn = [row["text"] for row in texts.read(root / "texts" / f"{name}.jsonl")]
        assert scripts.count(drawn).keys() >= {"Latin", "Han"}
