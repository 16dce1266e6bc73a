"""The published tokenizer cuts and pads by itself as Sentence Transformers does, and gives it the same ids."""

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.reference import reference as frozen_reference
from foundry.reference import tokenizer_files
from foundry.reference.nasty_texts import nasty_texts
from foundry.reference.reference import Reference
from tests.support import architectures, routers
from tests.support.odd_checkpoints import make_phobert
from tests.support.texts import documents

NASTY = nasty_texts(2000, documents())
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
    version = importlib.metadata.version("transformers")
    assert record == {"max_length": 64, "texts": count, "same_by_file": count, "transformers": version}
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


def test_what_others_would_read_otherwise_is_written_into_the_file(
    folder: Path, expected: Reference, texts: list[str]
) -> None:
    # Sentence Transformers makes lower case by a setting of its own, which no other reader knows of.
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    change(folder / "tokenizer_config.json", do_lower_case=False, strip_accents=True)
    normalizer = files.read_json(folder / "tokenizer.json")["normalizer"]
    change(folder / "tokenizer.json", normalizer={**normalizer, "lowercase": False, "strip_accents": True})
    record, _ = tokenizer_files.align(folder, expected, texts)
    assert record is not None
    assert record["same_by_file"] == record["texts"] > 0
    assert files.read_json(folder / "tokenizer.json")["normalizer"]["normalizers"][0] == {"type": "Lowercase"}
    assert files.read_json(folder / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_class_that_transformers_4_lacks_is_written_as_one_that_all_have(
    folder: Path, expected: Reference, texts: list[str]
) -> None:
    before = files.read_json(folder / "tokenizer.json")
    change(folder / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    record, _ = tokenizer_files.align(folder, expected, texts)
    assert record is not None
    assert files.read_json(folder / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert without(folder / "tokenizer.json", "truncation", "padding").items() <= before.items()


def test_padding_is_by_the_config_or_the_file() -> None:
    file = {"model": {"vocab": {"<pad>": 7}}, "padding": None}
    config = {"pad_token": {"content": "<pad>"}}
    for said in (config | {"padding_side": "left"}, config):
        padding = tokenizer_files.tokenizer_changes(file, said, 9)["padding"]
        assert padding["direction"] == ("Right" if said is config else "Left")
        assert (padding["pad_id"], padding["pad_token"]) == (7, "<pad>")
    assert "padding" not in tokenizer_files.tokenizer_changes(file, {"pad_token": "<none>"}, 9)
    assert tokenizer_files.tokenizer_changes(file, config, None)["truncation"] is None


def test_a_missing_tokenizer_json_is_written(folder: Path, expected: Reference, texts: list[str]) -> None:
    before = loader.load(folder, "onnx").token_ids(NASTY)
    ids: dict[str, int] = files.read_json(folder / "tokenizer.json")["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(ids, key=lambda entry: ids[entry])))
    (folder / "tokenizer.json").unlink()
    record, changed = tokenizer_files.align(folder, expected, texts)
    assert record is not None
    assert record["same_by_file"] == record["texts"]
    assert "tokenizer.json" in changed
    assert tokenizer_files.by_file_as_it_is(folder / "tokenizer.json", NASTY) == before


def test_a_tokenizer_of_python_alone_is_nothing_to_change(
    expected: Reference, texts: list[str], tmp_path: Path
) -> None:
    assert tokenizer_files.align(make_phobert(tmp_path / "phobert"), expected, texts) == (None, [])


def test_the_tokenizer_of_queries_says_everything_too(tmp_path: Path) -> None:
    from foundry_runtime.errors import UnusableModel
    from foundry_runtime.folder import open_folder
    from foundry_runtime.layout import read_layout
    from foundry_runtime.query_table import QueryTable
    from transformers import AutoTokenizer

    def read_table() -> QueryTable:
        folder = open_folder(model, verify=False)
        return QueryTable(folder, read_layout(folder), table.name)

    encoder = architectures.make_kind(tmp_path / "encoder", "roberta", "SparseEncoder")
    model = routers.with_table(encoder, tmp_path / "model")
    table = model / "query_0_SparseStaticEmbedding"
    change(table / "tokenizer_config.json", tokenizer_class="RobertaTokenizer", add_prefix_space=True)
    options = {"truncation": True, "add_special_tokens": False}
    before = AutoTokenizer.from_pretrained(table)(NASTY, **options)["input_ids"]
    with pytest.raises(UnusableModel, match="its tokenizer is a RobertaTokenizer"):
        read_table()
    changed = tokenizer_files.rewrite(model, trusts_code=False)
    assert {f"{table.name}/{name}" for name in ("tokenizer.json", "tokenizer_config.json")} <= {*(changed or ())}
    assert AutoTokenizer.from_pretrained(table)(NASTY, **options)["input_ids"] == before
    assert read_table().token_ids(NASTY) == before
    assert not [name for name in tokenizer_files.rewrite(model, trusts_code=False) or () if name.startswith(table.name)]


def test_what_is_published_is_aligned(published: Path) -> None:
    record = files.read_json(published / "foundry.json")
    assert record["tokenizer"]["max_length"] == 64
    assert record["tokenizer"]["same_by_file"] == record["tokenizer"]["texts"] > 0
    assert isinstance(record["recommended"], list)
    assert files.read_json(published / "tokenizer.json")["truncation"]["max_length"] == 64
    assert files.sha256(published / "tokenizer.json") == record["files"]["tokenizer.json"]
