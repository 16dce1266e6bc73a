"""What transformers' tokenizer classes overrule in tokenizer.json, beside these classes themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from foundry_runtime import UnusableModel, tokenizer_classes
from foundry_runtime.folder import ModelFolder
from foundry_runtime.layout import read_layout
from foundry_runtime.tokens import Tokens

from tests.support.architectures import ARCHITECTURES, BERT_SPECIAL, SPECIAL, Architecture, train_tokenizer
from tests.support.graph_models import write_json
from tests.support.nasty_texts import nasty_texts

TEXTS = [*nasty_texts(60), "Hello World", " hello", "ÀÉÎ"]
PAIRS = [(TEXTS[i], TEXTS[i + 1]) for i in range(30)]
LENGTH = 64

# The class, how its words are cut, and what its config says beside.
CLASSES: list[tuple[str, str, dict[str, Any]]] = [
    *((name, "wordpiece", {"do_lower_case": False}) for name in ("Bert", "DistilBert", "Electra", "MPNet", "LayoutLM",
      "MobileBert", "SqueezeBert", "ConvBert", "Funnel", "Realm", "RetriBert", "Lxmert")),
    ("Bert", "wordpiece", {"tokenize_chinese_chars": False}),
    ("Bert", "wordpiece", {"strip_accents": False}),
    ("MPNet", "wordpiece", {"strip_accents": False, "tokenize_chinese_chars": False}),
    *((name, "bytes", {"add_prefix_space": True}) for name in ("Roberta", "GPT2", "Bart", "Longformer", "Bloom")),
    *((name, "bytes", {}) for name in ("Roberta", "Qwen2", "Deberta", "GPTNeoX")),
    *((name, "unigram", {}) for name in ("XLMRoberta", "Camembert", "T5", "Albert", "BigBird", "XLNet", "MBart")),
    *((name, "unigram", {"add_eos_token": True}) for name in ("Llama", "Gemma")),
    ("Llama", "unigram", {"add_bos_token": False, "add_eos_token": True}),
    ("Llama", "unigram", {"padding_side": "right"}),
    ("Cohere", "bytes", {"add_eos_token": True}),
    ("GPTNeoX", "bytes", {"add_bos_token": True}),
]  # fmt: skip


def compare(folder: Path, theirs: Any) -> None:
    """Check ids, types and padding of texts and pairs; the tokenizer is that of transformers for the folder."""

    def find(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    write_json(folder / "config.json", {"model_type": "bert"})
    write_json(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LENGTH})
    opened = ModelFolder(str(folder), find, verify=False)
    ours = Tokens(opened, read_layout(opened))
    for inputs in (TEXTS, PAIRS):
        expected = [
            theirs(*([each] if isinstance(each, str) else each), truncation="longest_first") for each in inputs
        ]  # fmt: skip
        actual = ours.encode(inputs)
        assert [entry.ids for entry in actual] == [fields["input_ids"] for fields in expected]
        padded = theirs.pad(expected[:4], return_tensors="np")
        batch = ours.pad(actual[:4])
        for name, value in padded.items():
            assert (batch[name] == value).all(), name


@pytest.mark.parametrize(("name", "cut", "config"), CLASSES, ids=lambda value: str(value).strip("{}").replace("'", ""))
def test_a_class_gives_the_same_ids(tmp_path: Path, name: str, cut: str, config: dict[str, Any]) -> None:
    import transformers

    special = BERT_SPECIAL if cut == "wordpiece" else SPECIAL
    made = getattr(transformers, f"{name}TokenizerFast")
    core = train_tokenizer(Architecture(cut)).backend_tokenizer
    made(tokenizer_object=core, model_max_length=LENGTH, **special).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    compare(tmp_path, made.from_pretrained(tmp_path, model_max_length=LENGTH))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(tmp_path: Path, name: str) -> None:
    tokenizer = train_tokenizer(ARCHITECTURES[name])
    tokenizer.save_pretrained(tmp_path)
    compare(tmp_path, type(tokenizer).from_pretrained(tmp_path, model_max_length=LENGTH))


@pytest.mark.parametrize("config", [{"tokenizer_class": "CodeLlamaTokenizerFast"}, {"auto_map": {"AutoTokenizer": []}}])
def test_a_class_that_is_not_known_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(UnusableModel, match="or code of the model's own"):
        tokenizer_classes.overruled({}, config, lower_case=False)
