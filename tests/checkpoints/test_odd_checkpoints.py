"""download says yes or no to odd checkpoints, in one line, before anything is built; and runs nothing of theirs."""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.loading import loader
from foundry.variants import checkpoint_folder
from tests.support import odd_checkpoints as odd
from tests.support.downloads import Change, Fetch, refused


def in_json(name: str, **keys: Any) -> Change:
    return lambda folder: odd.change(folder / name, **keys)


def module(path: str, name: str) -> Change:
    return lambda folder: odd.add_module(folder, path, name)


def first_module(name: str) -> Change:
    return lambda folder: odd.set_rows(folder, [{**odd.rows(folder)[0], "type": name}, *odd.rows(folder)[1:]])


def content(name: str, value: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(value)


# --- Nothing runs ----------------------------------------------------------------------------------------


def broken_weights(folder: Path) -> None:
    """A page of a web server that was saved as the weights."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text("<!DOCTYPE html><html>" + "x" * 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (odd.class_of_its_own, r"config\.json: modeling_own\.OwnModel of tiny needs.*\.py.*trust_remote_code"),
        (odd.class_elsewhere, r"org/code--modeling_own\.OwnModel: code of another repository, org/code.*code_revision"),
        (odd.tokenizer_of_its_own, r"tokenizer_config\.json: tokenization_own\.Own of tiny needs.*trust_remote_code"),
        (odd.router_with_pickle, r"sklearn\.utils\.parallel\.joblib is of the package sklearn"),
        (odd.pickled_weights, r"does not load.*holds more than tensors"),
        (broken_weights, r"does not load.*holds more than tensors.*or is broken"),
        (odd.colbert_modules, r"pylate\.models\.Dense\.Dense is of the package pylate \(PyLate's, of which"),
        (module("3_X", "os.path"), "os.path is of the package os"),
        (module("3_X", "sentence_transformers.util.misc.importlib"), "is no module of Sentence Transformers"),
        (module("3_X", "sentence_transformers.SentenceTransformer"), "is no module of Sentence Transformers"),
        (module("3_X", "org/code--own.Module"), "code of another repository, org/code"),
        (in_json("sentence_bert_config.json", model_args={"weights_only": False}), "model_args: weights_only: False"),
        (in_json("sentence_bert_config.json", tokenizer_name_or_path="/etc"), "tokenizer_name_or_path: /etc, outside"),
        (in_json("sentence_bert_config.json", model_args={"attn_implementation": "org/kernel"}), "org/kernel, wh"),
        (in_json("tokenizer_config.json", vocab_file="/etc/passwd"), "vocab_file: /etc/passwd, outside"),
        (in_json("config.json", sbert_ce_default_activation_function="torch.hub.list"), "no activation of torch.nn"),
    ],
)  # fmt: skip
def test_nothing_of_it_runs(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


def test_trust_is_the_setting_and_builds_the_authors_class(fetch: Fetch) -> None:
    trusted = fetch(odd.class_of_its_own, trust_remote_code=True)
    assert checkpoint_folder.trusts_code(trusted)
    model = loader.load(trusted, "torch")
    assert files.read_json(trusted / "source.json")["loaded"]["architecture"] == "OwnModel"
    plain = fetch_plain(trusted)
    text = ["one two three"]
    assert abs(model.encode(text) - loader.load(plain, "torch").encode(text)).max() > 0.1


def fetch_plain(trusted: Path) -> Path:
    """The same weights as transformers' own class."""
    plain = shutil.copytree(trusted, trusted.with_name("plain"))
    odd.change(plain / "config.json", auto_map=None, architectures=["BertModel"])
    return plain


def test_python_files_are_no_trust(fetch: Fetch) -> None:
    out = fetch(lambda folder: (folder / "modeling_own.py").write_text("open('code_ran', 'w')"))
    assert not list(out.rglob("*.py"))
    assert not checkpoint_folder.trusts_code(out)
    assert files.read_json(out / "source.json")["loaded"]["trust_remote_code"] is False


# --- Nothing outside -------------------------------------------------------------------------------------


def link(name: str, target: str) -> Change:
    return lambda folder: (folder / name).symlink_to(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (module("../outside", "sentence_transformers.models.Dense"), r"\.\./outside, which leaves the checkpoint"),
        (module("/etc", "sentence_transformers.models.Dense"), "/etc, which leaves the checkpoint"),
        (link("notes.txt", "/etc/hostname"), "notes.txt of the checkpoint .* is a symbolic link to /etc/hostname"),
        (link("3_Dense", "/etc"), "3_Dense of the checkpoint .* is a symbolic link to /etc"),
        (link("vocab2.txt", "nowhere"), "symbolic link to nowhere, which is not there"),
        (lambda folder: os.mkfifo(folder / "tokenizer.model"), "tokenizer.model .* is no plain file"),
    ],
)
def test_nothing_outside_is_read(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


def test_a_link_inside_is_fine(fetch: Fetch, checkpoint: Path) -> None:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "weights")
        (folder / "model.safetensors").symlink_to("weights")

    out = fetch(change)
    assert not (out / "model.safetensors").is_symlink()
    assert files.sha256(out / "model.safetensors") == files.sha256(checkpoint / "model.safetensors")


# --- Nothing is invented ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (odd.without_modules, {"kind": "CrossEncoder"}, r"classifier\.bias, classifier\.weight.*its classifier"),
        (odd.without_modules, {"kind": "SparseEncoder"}, "needs a SparseAutoEncoder that it does not hold"),
        (odd.wrong_prefix, {}, r"none of the model's weights.*module\.encoder_wrapper\.embeddings.*model's like emb"),
        (odd.missing_layer, {}, r"does not hold 16 of the weights.*encoder\.layer\.1\.attention\.output"),
    ],
)
def test_a_weight_that_is_missing_is_named(
    fetch: Fetch, change: Change, settings: dict[str, Any], message: str
) -> None:
    refused(fetch, change, message, **settings)


def test_a_masked_language_head_that_is_missing_is_named(fetch: Fetch) -> None:
    def change(folder: Path) -> None:
        odd.set_rows(folder, odd.rows(folder)[:1])
        odd.change(folder / "config_sentence_transformers.json", model_type="SparseEncoder")
        odd.add_module(folder, "1_Pooling", "sentence_transformers.sparse_encoder.models.SpladePooling")
        odd.change(folder / "sentence_bert_config.json", transformer_task="fill-mask")
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_strategy": "max"}))

    refused(fetch, change, r"cls\.predictions.*masked-language head")


def test_a_pooler_that_no_output_uses_may_be_missing(fetch: Fetch, checkpoint: Path) -> None:
    out = fetch(odd.without_pooler)
    text = ["one two three"]
    assert abs(loader.load(out, "torch").encode(text) - loader.load(checkpoint, "torch").encode(text)).max() == 0


# --- It fits itself --------------------------------------------------------------------------------------


def test_an_id_without_an_embedding_is_an_error_with_both_sizes(fetch: Fetch) -> None:
    refused(
        fetch, odd.tokens_beyond_embeddings, r"ids up to \d+ \(\d+ entries\), and the model has \d+ embeddings: <ima"
    )


def test_a_missing_padding_token_is_an_error(fetch: Fetch) -> None:
    def change(folder: Path) -> None:
        odd.change(folder / "tokenizer_config.json", pad_token=None, tokenizer_class="PreTrainedTokenizerFast")
        odd.change(folder / "special_tokens_map.json", pad_token=None)

    refused(fetch, change, "no padding token.*Set pad_token in tokenizer_config.json")


def test_a_tokenizer_without_a_mask_is_an_error(fetch: Fetch) -> None:
    refused(fetch, in_json("tokenizer_config.json", model_input_names=["input_ids"]), "gives no attention_mask")


def test_the_length_is_what_sentence_transformers_finds(fetch: Fetch) -> None:
    out = fetch(odd.without_length)
    length = loader.load(out, "torch").max_seq_length
    assert (checkpoint_folder.max_seq_length(out), length) == (64, 64)
    assert files.read_json(out / "source.json")["loaded"]["max_seq_length"] == 64


@pytest.mark.parametrize("name", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_length_stands_in_any_settings_file_that_is_read(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    (folder / "sentence_bert_config.json").unlink()
    (folder / f"sentence_{name}_config.json").write_text('{"max_seq_length": 33}')
    assert checkpoint_folder.max_seq_length(folder) == 33


def test_no_more_tokens_than_positions(fetch: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    out = fetch(in_json("sentence_bert_config.json", max_seq_length=514))
    assert checkpoint_folder.max_seq_length(out) == loader.load(out, "torch").max_seq_length == 64
    assert "reads 64 tokens, for which it has positions; its settings say 514 tokens" in re.sub(
        r"\s+", " ", capsys.readouterr().out
    )


# --- Only the model travels ------------------------------------------------------------------------------


def test_only_the_model_travels(fetch: Fetch, checkpoint: Path) -> None:
    out = fetch(odd.training_folder)
    expected = {path.as_posix() for path in files.files_below(checkpoint)} | {"source.json"}
    assert {path.as_posix() for path in files.files_below(out)} == expected


def test_an_adapter_alone_says_what_to_do(fetch: Fetch) -> None:
    refused(
        fetch,
        odd.adapter_alone,
        r"is an adapter of org/base, without that model's weights.*models\.tiny\.base: .*merge_and_unload",
    )


def test_an_adapter_beside_its_base_is_merged(
    fetch: Fetch, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    out = fetch(odd.adapter_beside)
    assert "merged its adapter" in capsys.readouterr().out
    assert not list(out.glob("adapter*"))
    text = ["one two three"]
    assert abs(loader.load(out, "torch").encode(text) - loader.load(checkpoint, "torch").encode(text)).max() > 0.01


def test_an_adapter_needs_peft(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(folder: Path) -> None:
        shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
        odd.change(folder / "adapter_config.json", base_model_name_or_path="org/base", peft_type="LORA")

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    refused(fetch, change, r"pip install '\.\[adapters\]'")


# --- Broken files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (content("config.json", b"{"), "config.json is no JSON"),
        (content("config.json", '{"a": "è"}'.encode("latin-1")), "config.json is not UTF-8"),
        (content("config.json", b"\xef\xbb\xbf{}"), "config.json starts with a byte order mark"),
        (content("tokenizer.json", b""), "tokenizer.json is no JSON: it is empty"),
        (content("vocab.txt", b"\xff\xfe"), "vocab.txt is not UTF-8"),
        (content("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid"), "Git LFS pointer"),
        (content("model.safetensors", b"\x10"), "truncated or no safetensors"),
        (
            content("model.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}'),
            "names b.safetensors, which",
        ),
        (content("1_Pooling/config.json", b"[]"), "1_Pooling/config.json is a list"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (b"---\nlicense: mit\ntags: sentence-similarity\n---\nText\n", "mit"),
        ("---\nlicense: mit\n---\nModèle\n".encode("latin-1"), "mit"),
        (b"---\nlicense: mit\ntags: [a, b\n---\nText\n", None),
        (b"\xef\xbb\xbf---\nlicense: mit\n---\nText\n", "mit"),
        (b"---\nlicense: [mit, apache-2.0]\n---\nText\n", "mit, apache-2.0"),
        (b"---\n- a list\n---\nText\n", None),
        (b"no front matter", None),
    ],
)
def test_a_model_card_never_ends_a_build(fetch: Fetch, card: bytes, licence: str | None) -> None:
    out = fetch(content("README.md", card))
    assert files.read_json(out / "source.json")["licence"] == licence


# --- What is not possible reads like a reason ------------------------------------------------------------


def outputs(name: Any, method: str = "forward") -> Change:
    text = {"method": method, "method_output_name": name}
    return in_json("sentence_bert_config.json", modality_config={"text": text}, module_output_name="token_embeddings")


def causal_reranker(folder: Path) -> None:
    odd.without_modules(folder)
    odd.change(folder / "config.json", architectures=["Qwen3ForCausalLM"], model_type="qwen3")


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (first_module("sentence_transformers.models.CLIPModel"), {}, "A CLIP model embeds images beside texts"),
        (first_module("sentence_transformers.models.StaticEmbedding"), {}, "StaticEmbedding model has no graph"),
        (first_module("sentence_transformers.models.BoW"), {}, "bag of words"),
        (causal_reranker, {}, "a bare one is scored by yes and no"),
        (
            in_json("sentence_bert_config.json", modality_config={"image": {}, "text": {}}),
            {},
            "model of image and text",
        ),
        (module("3_X", "sentence_transformers.models.WeightedLayerPooling"), {}, "reads all layers; a graph gives"),
        (outputs("pooler_output"), {}, "takes pooler_output of its transformer's forward for texts"),
        (outputs("last_hidden_state", "get_text_features"), {}, "of its transformer's get_text_features for texts"),
        (outputs(["hidden_states", -2]), {}, r"takes \['hidden_states', -2\] of its transformer's forward"),
        (in_json("config.json", model_type="unheard_of"), {}, "'unheard_of', which this version of transformers"),
    ],
)
def test_what_is_not_possible_is_an_error_with_the_reason(
    fetch: Fetch, change: Change, settings: dict[str, Any], message: str
) -> None:
    refused(fetch, change, message, **settings)
