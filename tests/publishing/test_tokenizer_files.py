"""The published tokenizer cuts and pads by itself as Sentence Transformers does, and gives it the same ids."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.publishing import tokenizer_files
from foundry.reference import reference as frozen_reference
from foundry.reference.reference import Reference
from tests.support.nasty_texts import nasty_texts

NASTY = nasty_texts(2000)
# What checkpoints say of lengths and padding that their makers trained with, or never looked at.
TRUNCATION = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0}
PADDING = {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0,
           "pad_token": "[PAD]"}  # fmt: skip


@pytest.fixture(scope="module")
def expected(tiny: Path) -> Reference:
    return frozen_reference.read(tiny.parents[1] / "reference/tiny")


@pytest.fixture(scope="module")
def texts(tiny: Path) -> list[str]:
    from foundry.data import texts as frozen_texts

    return [row["text"] for row in frozen_texts.read(tiny.parents[1] / "texts/tiny/validation.jsonl")]


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A variant whose tokenizer says other lengths than Sentence Transformers' settings."""
    copy = Path(shutil.copytree(tiny / "onnx", tmp_path / "onnx"))
    change(copy / "tokenizer.json", truncation=TRUNCATION, padding=PADDING)
    change(copy / "tokenizer_config.json", model_max_length=512, max_length=128)
    return copy


def change(path: Path, **values: Any) -> None:
    files.write_json(path, {**files.read_json(path), **values})


def without(path: Path, *names: str) -> dict[str, Any]:
    return {name: value for name, value in files.read_json(path).items() if name not in names}


def test_every_reader_cuts_where_sentence_transformers_does(
    folder: Path, expected: Reference, texts: list[str]
) -> None:
    before = loader.load(folder, "onnx").token_ids(NASTY)
    rest = without(folder / "tokenizer.json", "truncation", "padding")
    record, changed = tokenizer_files.align(folder, expected, texts)
    count = len(texts) + len(expected.hard_texts)
    assert record == {"max_length": 64, "texts": count, "same_by_file": count}
    assert changed == ["tokenizer.json", "tokenizer_config.json"]
    assert without(folder / "tokenizer.json", "truncation", "padding") == rest
    config = files.read_json(folder / "tokenizer_config.json")
    assert (config["model_max_length"], config["max_length"]) == (64, 64)
    assert loader.load(folder, "onnx").token_ids(NASTY) == before
    assert max(map(len, before)) == 64
    assert tokenizer_files.by_file_as_it_is(folder / "tokenizer.json", NASTY) == before
    padded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(["a", "the people of the country"])
    assert len(padded[0].ids) == len(padded[1].ids) < 12
    assert tokenizer_files.align(folder, expected, texts) == (record, [])  # nothing left to change


def test_a_batch_is_padded_on_the_models_side(folder: Path, expected: Reference, texts: list[str]) -> None:
    change(folder / "tokenizer_config.json", padding_side="left", truncation_side="right")
    tokenizer_files.align(folder, expected, texts)
    padded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(["a", "the people of the country"])
    assert padded[0].attention_mask[0] == 0
    assert padded[0].attention_mask[-1] == 1
    theirs = loader.load(folder, "onnx").model.preprocess(["a", "the people of the country"])
    assert theirs["input_ids"].tolist() == [row.ids for row in padded]


def test_other_ids_than_torchs_are_an_error(folder: Path, expected: Reference, texts: list[str]) -> None:
    change(folder / "sentence_bert_config.json", max_seq_length=63)
    with pytest.raises(FoundryError, match="with a maximum length of 63 gives Sentence Transformers other token ids"):
        tokenizer_files.align(folder, expected, texts)


def test_a_tokenizer_that_others_read_otherwise_is_said_to_be_that(
    folder: Path, expected: Reference, texts: list[str]
) -> None:
    # Sentence Transformers makes lower case by a setting of its own, which no other reader knows of.
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    change(folder / "tokenizer_config.json", do_lower_case=False, strip_accents=True)
    normalizer = files.read_json(folder / "tokenizer.json")["normalizer"]
    change(folder / "tokenizer.json", normalizer={**normalizer, "lowercase": False, "strip_accents": True})
    record, _ = tokenizer_files.align(folder, expected, texts)
    assert record is not None
    assert 0 < record["same_by_file"] < record["texts"]


def test_padding_whose_side_is_the_classs_own_stays_as_it_is() -> None:
    file = {"model": {"vocab": {"<pad>": 7}}, "padding": None}
    config = {"tokenizer_class": "LlamaTokenizerFast", "pad_token": {"content": "<pad>"}}
    assert "padding" not in tokenizer_files.tokenizer_changes(file, config, 9, is_plain=False)
    for said in (config | {"padding_side": "left"}, config):
        changes = tokenizer_files.tokenizer_changes(file, said, 9, is_plain=said is config)
        assert changes["padding"]["direction"] == ("Right" if said is config else "Left")
        assert (changes["padding"]["pad_id"], changes["padding"]["pad_token"]) == (7, "<pad>")
    assert "padding" not in tokenizer_files.tokenizer_changes(file, {"pad_token": "<none>"}, 9, is_plain=True)
    assert tokenizer_files.tokenizer_changes(file, config, None, is_plain=True)["truncation"] is None


def test_no_tokenizer_json_is_nothing_to_change(folder: Path, expected: Reference, texts: list[str]) -> None:
    (folder / "tokenizer.json").unlink()
    assert tokenizer_files.align(folder, expected, texts) == (None, [])


def test_what_is_published_is_aligned(published: Path) -> None:
    record = files.read_json(published / "foundry.json")
    assert record["tokenizer"]["max_length"] == 64
    assert record["tokenizer"]["same_by_file"] == record["tokenizer"]["texts"] > 0
    assert isinstance(record["recommended"], list)
    assert files.read_json(published / "tokenizer.json")["truncation"]["max_length"] == 64
    assert files.sha256(published / "tokenizer.json") == record["files"]["tokenizer.json"]
