"""What is published gives the tokens of every class of transformers, by tokenizer.json alone and by every version.

The checkpoints here say a class, and the version of transformers that is installed makes of them what it does.
"""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from foundry_runtime import Embedder, UnusableModel, tokenizer_classes
from foundry_runtime.folder import ModelFolder
from foundry_runtime.layout import read_layout
from foundry_runtime.tokens import Tokens

from foundry.base import files
from foundry.loading import tokenization
from foundry.reference import tokenizer_files
from foundry.reference.nasty_texts import nasty_texts
from foundry.reference.reference import Reference
from tests.support.architectures import ARCHITECTURES, Architecture, train_tokenizer
from tests.support.graph_models import write_json
from tests.support.texts import documents

TEXTS = [*nasty_texts(60, documents()), "Hello World", " hello", "ÀÉÎ"]
PAIRS = [(TEXTS[i], TEXTS[i + 1]) for i in range(30)]
LENGTH = 64

# The class, how its words are cut, and what its config says beside.
Case = tuple[str, str, dict[str, Any]]
BERTS: list[Case] = [
    *((name, "wordpiece", {"do_lower_case": False}) for name in ("Bert", "DistilBert", "Electra", "LayoutLM",
      "MobileBert", "SqueezeBert", "Lxmert")),
    ("Bert", "wordpiece", {"tokenize_chinese_chars": False}),
    ("Bert", "wordpiece", {"strip_accents": False}),
]  # fmt: skip
CLASSES: list[Case] = [
    *BERTS,
    *((name, "wordpiece", {"do_lower_case": False}) for name in ("MPNet", "ConvBert", "Funnel", "Realm", "RetriBert")),
    ("MPNet", "wordpiece", {"strip_accents": False, "tokenize_chinese_chars": False}),
    *((name, "bytes", {"add_prefix_space": True}) for name in ("Roberta", "GPT2", "Bart", "Longformer", "Bloom")),
    *((name, "bytes", {}) for name in ("Roberta", "Qwen2", "Deberta", "GPTNeoX", "PreTrained")),
    *((name, "unigram", {}) for name in ("XLMRoberta", "Camembert", "T5", "Albert", "BigBird", "XLNet", "MBart")),
    *((name, "unigram", {"add_eos_token": True}) for name in ("Llama", "Gemma")),
    ("Llama", "unigram", {"add_bos_token": False, "add_eos_token": True}),
    ("Llama", "unigram", {"padding_side": "right"}),
    ("Cohere", "bytes", {"add_eos_token": True}),
    ("GPTNeoX", "bytes", {"add_bos_token": True}),
    ("PreTrained", "wordpiece", {"truncation_side": "left", "padding_side": "left"}),
]


def described(value: Any) -> str:
    return str(value).strip("{}").replace("'", "")


def make_folder(folder: Path, tokenizer: Any, settings: dict[str, Any] | None = None) -> Path:
    """A model of Sentence Transformers as far as its tokenizer needs it."""
    tokenizer.save_pretrained(folder)
    write_json(folder / "config.json", {"model_type": "bert"})
    write_json(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LENGTH, **(settings or {})})
    return folder


def make_class(folder: Path, name: str, cut: str, config: dict[str, Any]) -> Path:
    """A folder whose config names a class, whatever its tokenizer.json says."""
    make_folder(folder, train_tokenizer(Architecture(cut)))
    path = folder / "tokenizer_config.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps({**before, "tokenizer_class": f"{name}TokenizerFast", **config}))
    return folder


def read_by_runtime(folder: Path) -> Tokens:
    def find(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    opened = ModelFolder(str(folder), find, verify=False)
    return Tokens(opened, read_layout(opened))


def tokens_of(folder: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """What Sentence Transformers reads of texts and of pairs, each alone, and of four texts at once."""
    module = tokenization.transformer_without_weights(folder)
    alone = [{name: value.tolist()[0] for name, value in module.preprocess([text]).items() if hasattr(value, "tolist")}
             for text in (*TEXTS, *PAIRS)]  # fmt: skip
    batch = {name: value.numpy() for name, value in module.preprocess(TEXTS[:4]).items() if hasattr(value, "numpy")}
    return alone, batch


def compare(folder: Path, expected: tuple[list[dict[str, Any]], dict[str, np.ndarray]]) -> None:
    """Check the runtime's ids and types of texts and pairs, and its padding."""
    alone, batch = expected
    ours = read_by_runtime(folder)
    encoded = [*ours.encode(TEXTS), *ours.encode(PAIRS)]
    assert [entry.ids for entry in encoded] == [fields["input_ids"] for fields in alone]
    if "token_type_ids" in alone[0]:
        assert [entry.types for entry in encoded] == [fields["token_type_ids"] for fields in alone]
    padded = ours.pad(encoded[:4])
    for name in batch.keys() & padded.keys():
        assert (padded[name] == batch[name])[batch["attention_mask"] == 1].all(), name
    assert (padded["attention_mask"] == batch["attention_mask"]).all()
    assert (padded["input_ids"] == batch["input_ids"]).all()


def publish(folder: Path, expected: tuple[list[dict[str, Any]], Any]) -> list[str]:
    """Align the folder's tokenizer as `publish` does; check what it records, and give the names of what it changed."""
    ids = [fields["input_ids"] for fields in expected[0][: len(TEXTS)]]
    facts = cast(Any, {"kind": "SentenceTransformer", "trust_remote_code": False})
    reference = Reference(np.zeros(0), {}, np.zeros(0), ids, facts, {}, 0, cast(Any, {}), 1, [])
    record, changed = tokenizer_files.align(folder, reference, TEXTS)
    assert record is not None
    assert record["same_by_file"] == record["texts"] == len(TEXTS)
    return changed


@pytest.mark.parametrize(("name", "cut", "config"), CLASSES, ids=described)
def test_what_is_published_has_the_tokens_of_its_class(
    tmp_path: Path, name: str, cut: str, config: dict[str, Any]
) -> None:
    folder = make_class(tmp_path, name, cut, config)
    expected = tokens_of(folder)
    changed = publish(folder, expected)
    assert changed[0] == "tokenizer.json"
    compare(folder, expected)
    again = tokens_of(folder)
    assert again[0] == expected[0]
    assert all((again[1][field] == expected[1][field])[again[1]["attention_mask"] == 1].all() for field in again[1])
    assert publish(folder, expected) == []


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_published_with_its_tokens(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path, train_tokenizer(ARCHITECTURES[name]))
    expected = tokens_of(folder)
    publish(folder, expected)
    compare(folder, expected)


def test_lower_case_by_sentence_transformers_stands_in_what_is_published(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, train_tokenizer(ARCHITECTURES["xlm-roberta"]), {"do_lower_case": True})
    expected = tokens_of(folder)
    publish(folder, expected)
    assert json.loads((folder / "tokenizer.json").read_text())["normalizer"]["normalizers"] == [{"type": "Lowercase"}]
    compare(folder, expected)


@pytest.mark.parametrize(("name", "cut", "config"), BERTS, ids=described)
def test_a_bert_is_read_as_it_is(tmp_path: Path, name: str, cut: str, config: dict[str, Any]) -> None:
    folder = make_class(tmp_path, name, cut, config)
    compare(folder, tokens_of(folder))


@pytest.mark.parametrize(
    ("file", "config", "reason"),
    [
        ({}, {"tokenizer_class": "LlamaTokenizerFast"}, "is a LlamaTokenizerFast, which reads"),
        ({}, {"tokenizer_class": None}, "is a None, which reads"),
        ({}, {"tokenizer_class": "PreTrainedTokenizerFast", "auto_map": {"AutoTokenizer": []}}, "code of the model"),
        ({}, {"tokenizer_class": "TokenizersBackend", "add_bos_token": True}, "have add_bos_token"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
         {"tokenizer_class": "PreTrainedTokenizerFast"}, "differ in add_prefix_space"),
        ({"normalizer": {"type": "NFC"}}, {"tokenizer_class": "BertTokenizer"}, "none of a BERT"),
    ],
)  # fmt: skip
def test_what_has_another_say_in_the_tokens_is_refused(
    file: dict[str, Any], config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnusableModel, match=reason):
        tokenizer_classes.as_loaded(file, config, lower_case=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_token": "police"},
        {"additional_special_tokens": ["police"]},
        {"extra_special_tokens": {"officer": {"content": "police", "special": True}}},
    ],
)
def test_a_special_token_that_only_the_config_names_is_an_error(
    tiny: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(tiny / "onnx", tmp_path / "onnx"))
    assert Embedder(folder, "onnx", verify=False).token_ids(["the police"])
    path = folder / "tokenizer_config.json"
    files.write_json(path, {**files.read_json(path), **settings})
    with pytest.raises(UnusableModel, match="does not have 'police', which other files add"):
        Embedder(folder, "onnx", verify=False)
