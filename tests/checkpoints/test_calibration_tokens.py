"""Static int8 is calibrated on the tokens that the model reads, whatever its settings make of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.int8 import calibration
from foundry.loading import loader, tokenization
from tests.support import odd_checkpoints as odd

TEXTS = ["Who Won", "The Police of the City, and the Committee; it met twice and agreed on every point. " * 4]


def prompts(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({"prompts": {"query": "search query: ", "document": "the fire: "}}))


def cased(folder: Path) -> None:
    """A tokenizer that keeps capitals, of which the vocabulary has none, and a setting that lowers them."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    odd.change(folder / "tokenizer_config.json", do_lower_case=False)
    odd.change(folder / "sentence_bert_config.json", do_lower_case=True)


def in_file(**changes: Any) -> Callable[[Path], None]:
    """Values of parts of tokenizer.json, such as `model={"unk_token": ...}`; None takes the part away."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        for part, values in changes.items():
            tokenizer[part] = None if values is None else {**(tokenizer[part] or {}), **values}
        path.write_text(json.dumps(tokenizer))

    return change


def in_config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: odd.change(folder / "tokenizer_config.json", **changes)


def with_flag(folder: Path) -> None:
    """A token of which the two files say different things."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    row = {key: value for key, value in tokenizer["added_tokens"][0].items() if key != "id"}
    added = {str(tokenizer["added_tokens"][0]["id"]): {**row, "lstrip": not row["lstrip"]}}
    odd.change(folder / "tokenizer_config.json", added_tokens_decoder=added)


SINGLE = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
CHANGES: dict[str, tuple[bool, Callable[[Path], Any]]] = {
    "as it is": (True, lambda folder: None),
    "prompts": (True, prompts),
    "length": (True, lambda folder: odd.change(folder / "sentence_bert_config.json", max_seq_length=12)),
    "no length": (True, odd.without_length),
    "lower case": (False, cased),
    "no tokenizer.json": (False, lambda folder: (folder / "tokenizer.json").unlink()),
    "arguments": (
        False,
        lambda folder: odd.change(
            folder / "sentence_bert_config.json", tokenizer_args={"model_max_length": 9, "do_lower_case": False}
        ),
    ),
    "class that changes the file": (
        False,
        lambda folder: odd.change(folder / "tokenizer_config.json", do_lower_case=False),
    ),
    "truncated on the left": (
        False,
        lambda folder: odd.change(folder / "tokenizer_config.json", truncation_side="left"),
    ),
    "a word that the config makes special": (False, in_config(additional_special_tokens=["police"])),
    "a special token that is a word": (False, in_config(mask_token="police")),
    "a token with other flags": (False, with_flag),
    "another first token": (False, in_config(cls_token="[MASK]")),
    "another unknown token": (False, in_file(model={"unk_token": "[MASK]"})),
    "control characters stay": (False, in_file(normalizer={"clean_text": False})),
    "no last token": (False, in_file(post_processor={"type": "TemplateProcessing", "single": SINGLE})),
}


def check_tokens(folder: Path) -> None:
    """Check that calibration reads what the loaded model does."""
    model = loader.load(folder, "torch")
    model = getattr(model, "model", model)
    names = ("query", "document") if any(model.prompts.values()) else (None, None)
    for text, name, fields in zip(TEXTS, names, calibration.tokenize(folder, TEXTS, {"input_ids"}), strict=True):
        prompt = model.prompts[name] if name else ""
        assert fields["input_ids"].tolist() == model.preprocess([prompt + text])["input_ids"].tolist()


@pytest.mark.parametrize("name", CHANGES)
def test_calibration_reads_what_the_model_reads(checkpoint: Path, tmp_path: Path, name: str) -> None:
    is_plain, change = CHANGES[name]
    folder = shutil.copytree(checkpoint, tmp_path / "changed")
    change(folder)
    assert tokenization.is_plain(folder) == is_plain
    check_tokens(folder)


def test_a_tokenizer_without_a_fast_version(tmp_path: Path) -> None:
    folder = odd.make_phobert(tmp_path / "phobert")
    assert not tokenization.is_plain(folder)
    check_tokens(folder)
