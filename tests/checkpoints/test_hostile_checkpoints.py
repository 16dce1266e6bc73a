"""Checkpoints that were made to break download: each is one line, runs nothing, reads nothing outside, and ends."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.loading import loader
from tests.support import odd_checkpoints as odd
from tests.support.downloads import Change, Fetch, refused

MODULES = "sentence_transformers.models."


def module(path: str, name: str) -> Change:
    return lambda folder: odd.add_module(folder, path, name)


def in_json(name: str, **keys: Any) -> Change:
    return lambda folder: odd.change(folder / name, **keys)


def content(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text)


def router(types: dict[str, str], inner: dict[str, str] | None = None) -> Change:
    """A Router after the transformer, with another one inside where `inner` is given."""

    def change(folder: Path) -> None:
        odd.add_module(folder, "3_Router", f"{MODULES}Router")
        odd.change(folder / "3_Router/router_config.json", types=types)
        if inner is not None:
            (folder / "3_Router/a").mkdir()
            odd.change(folder / "3_Router/a/router_config.json", types=inner)

    return change


def names(name: str) -> Change:
    return lambda folder: odd.set_rows(folder, [{**row, "name": name} for row in odd.rows(folder)])


def path_in_listing(path: str) -> Change:
    row = {"name": "9", "path": path, "type": "x"}
    return lambda folder: odd.set_rows(folder, [*odd.rows(folder), row])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (module("3_X", "sentence_transformers.util.http_get"), "is no module of Sentence Transformers"),
        (module("3_X", f"{MODULES}Transformer.__init__"), "is no module of Sentence Transformers"),
        (module("3_X", f"{MODULES}Pooling\n"), "is no module of Sentence Transformers"),
        (module("3_X", f" {MODULES}Pooling"), "is of the package"),
        (module("3_X", "os.system"), "os.system is of the package os"),
        (router({"a": f"{MODULES}Router"}, {"b.pkl": "os.system"}), "os.system is of the package os"),
        (router({"a": f"{MODULES}Router"}, {"b": "org/code--own.Module"}), "code of another repository, org/code"),
        (router({"": f"{MODULES}Router"}), "Routers inside Routers without an end"),
        (router({"./.": f"{MODULES}Router"}), "Routers inside Routers without an end"),
        (module("", f"{MODULES}Transformer"), r"module 4 is a .*Transformer, too\. Only the first module"),
        (module("3_X\n", f"{MODULES}Normalize"), "is no name of a folder"),
        (path_in_listing("\0"), "is no name of a folder"),
        (path_in_listing("x" * 5000), "is no name of a folder"),
        (names("0"), "has modules without a name of their own: 0, 0, 0"),
    ],
)  # fmt: skip
def test_modules(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_json("sentence_bert_config.json", max_seq_length="64"), r"max_seq_length: '64' \(str\); a number"),
        (in_json("sentence_bert_config.json", max_seq_length=-1), "a number of tokens, 1 or more"),
        (in_json("sentence_bert_config.json", max_seq_length=float("inf")), "a number of tokens, 1 or more"),
        (in_json("sentence_bert_config.json", max_seq_length=2), "reads 2 tokens of a text, and its tokenizer adds 2"),
        (in_json("sentence_bert_config.json", model_args=[1]), "a mapping is expected"),
        (in_json("sentence_bert_config.json", modality_config=5), "a mapping is expected"),
        (in_json("sentence_bert_config.json", transformer_task=[]), "a text is expected"),
        (in_json("config_sentence_transformers.json", prompts={"q": 5}), "a mapping of names to texts is expected"),
        (in_json("config_sentence_transformers.json", prompts={"q": "\ud800"}), "a mapping of names to texts"),
        (in_json("config_sentence_transformers.json", model_type=[]), "a text is expected"),
        (content("config_sentence_transformers.json", '{"model_type": null}'), "model_type: 'None'"),
        (in_json("config_sentence_transformers.json", truncate_dim="8"), r"truncate_dim: '8' \(str\); a number"),
        (in_json("config_sentence_transformers.json", similarity_fn_name="jaccard"), "one of cosine, dot"),
        (in_json("config.json", vocab_size=10**12), r"word_embeddings\.weight they hold \(\d+, 32\), and"),
        (in_json("config.json", model_type=["bert"]), "a text is expected"),
        (in_json("config.json", architectures="BertModel"), "a list of texts is expected"),
        (in_json("config.json", num_attention_heads=0), "ZeroDivisionError"),
        (in_json("config.json", num_hidden_layers=0), "a number, 1 or more"),
        (in_json("config.json", quantization_config={"quant_method": "gptq", "bits": 4}), "does not load"),
        (in_json("config.json", layer_norm_eps=float("nan")), "gives NaN or infinite numbers for a short text"),
        (in_json("generation_config.json", auto_map={"X": "a.B"}), r"generation_config\.json: a\.B of tiny needs"),
        (in_json("processor_config.json", auto_map={"X": "a.B"}), r"processor_config\.json: a\.B of tiny needs"),
        (content("config.json", '{"a": ' + "9" * 5000 + "}"), "config.json is no JSON"),
        (content("config.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), "config.json is no JSON"),
        (content("tokenizer.json", "{}"), "tokenizer.json cannot be read as a tokenizer"),
        (content("tokenizer.json", '{"model": {"type": "Nope"}}'), "tokenizer.json cannot be read as a tokenizer"),
        (lambda folder: (folder / "LICENSE\nx").write_text("x"), r"'LICENSE\\nx' of the checkpoint"),
        (lambda folder: (folder / "a").symlink_to("a"), "a symbolic link to itself"),
        (lambda folder: os.mkfifo(folder / "1_Pooling/x"), "1_Pooling/x .* is no plain file"),
    ],
)  # fmt: skip
def test_settings_and_files(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


def test_a_panic_of_the_tokenizers_library_is_a_line(fetch: Fetch) -> None:
    def change(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    refused(fetch, change, "PanicException: Precompiled")


def dense(activation: str = "torch.nn.modules.activation.Tanh", width: int = 32, value: float = 0.1) -> Change:
    """A Dense module after the pooling."""

    def change(folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        odd.add_module(folder, "3_Dense", f"{MODULES}Dense")
        settings = {"in_features": width, "out_features": 8, "bias": True, "activation_function": activation}
        odd.change(folder / "3_Dense/config.json", **settings)
        weights = {"linear.weight": torch.full((8, width), value), "linear.bias": torch.zeros(8)}
        save_file(weights, folder / "3_Dense/model.safetensors")

    return change


def test_weights_behind_the_transformer_are_read_without_torch(fetch: Fetch, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    def change(folder: Path) -> None:
        dense()(folder)
        path = folder / "3_Dense/model.safetensors"
        torch.save(load_file(path), folder / "3_Dense/pytorch_model.bin")
        path.unlink()

    out = fetch(change)
    assert not (out / "3_Dense/pytorch_model.bin").exists()
    held = torch.load(tmp_path / "odd/3_Dense/pytorch_model.bin", weights_only=True)
    written = load_file(out / "3_Dense/model.safetensors")
    assert set(written) == set(held)
    assert all(torch.equal(written[name], held[name]) for name in held)


def pickled_dense(folder: Path) -> None:
    dense()(folder)
    odd.pickled_weights(folder)
    (folder / "3_Dense/model.safetensors").unlink()
    (folder / "pytorch_model.bin").rename(folder / "3_Dense/pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dense("builtins.print"), "no activation of torch.nn"),
        (dense("print"), "no activation of torch.nn"),  # Sentence Transformers would take Tanh in its place
        (dense("torch.nn.modules.nope.X"), "no activation of torch.nn"),
        (dense("torch.nn.Module.apply"), "no activation of torch.nn"),
        (dense(width=16), "does not embed a text: .*shapes cannot be multiplied"),
        (dense(value=float("nan")), r"1 of the weights hold NaN or infinite numbers: 9\.linear\.weight"),
        (pickled_dense, "no weights|holds more than tensors"),
    ],
)
def test_dense(fetch: Fetch, change: Change, message: str) -> None:
    refused(fetch, change, message)


def fill(name: str) -> Change:
    """Fill a weight with NaN."""

    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights[name].fill_(float("nan"))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def test_numbers_that_are_no_numbers_are_named(fetch: Fetch) -> None:
    name = "encoder.layer.0.output.dense.weight"
    refused(fetch, fill(name), rf"1 of the weights hold NaN or infinite numbers: 0\.model\.{name}")


def test_nan_that_no_output_uses_is_no_error(fetch: Fetch) -> None:
    assert (fetch(fill("pooler.dense.weight")) / "source.json").is_file()


def test_layers_that_the_settings_leave_out_are_said(fetch: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(in_json("config.json", num_hidden_layers=1))
    assert "weights that its settings leave out, such as encoder.layer.1." in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_is_a_link_inside_is_followed(fetch: Fetch) -> None:
    def change(folder: Path) -> None:
        (folder / "1_Pooling").rename(folder / "pooling")
        (folder / "1_Pooling").symlink_to("pooling")
        (folder / "circle").symlink_to(".")

    out = fetch(change)
    assert (out / "1_Pooling/config.json").is_file()
    assert not (out / "1_Pooling").is_symlink()
    assert not (out / "circle").exists()


@pytest.mark.parametrize("code", ["def (", "nope", "raise SystemExit(3)", "1 / 0"])
def test_trusted_code_that_fails_is_a_line(fetch: Fetch, code: str) -> None:
    def change(folder: Path) -> None:
        (folder / "own.py").write_text(code)
        odd.change(folder / "config.json", auto_map={"AutoModel": "own.X"})

    refused(fetch, change, "the checkpoint does not load as the SentenceTransformer", trust_remote_code=True)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "front_matter",
    [
        f"{BOMB}license: *i\n",
        "a: " + "[" * 5000,
        'license: "\\ud800"\n',
        "license: &a [*a]\n",
        "license: 0x" + "f" * 6000,
    ],
)
def test_cards_that_were_made_to_break(fetch: Fetch, front_matter: str) -> None:
    out = fetch(content("README.md", f"---\n{front_matter}\n---\nText\n"))
    assert files.read_json(out / "source.json")["licence"] in (None, "?")


def test_a_converted_model_keeps_the_authors_card(fetch: Fetch, checkpoint: Path) -> None:
    def change(folder: Path) -> None:
        odd.without_modules(folder)
        (folder / "LICENSE").write_text("Do as you like.")

    out = fetch(change, kind="SentenceTransformer")
    assert (out / "modules.json").is_file()
    assert (out / "README.md").read_bytes() == (checkpoint / "README.md").read_bytes()
    assert (out / "LICENSE").read_text() == "Do as you like."


# --- Adapters beside a base that is another source -------------------------------------------------------


def adapter_only(folder: Path) -> None:
    """What peft alone saves: the adapter, its settings and a card."""
    odd.adapter_beside(folder)
    for path in list(folder.iterdir()):
        if path.is_dir():
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
        elif not path.name.startswith(("adapter", "README")):
            path.unlink()


@pytest.mark.parametrize("keeps_modules", [True, False])
def test_an_adapter_is_merged_into_its_base(
    fetch: Fetch, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keeps_modules: bool
) -> None:
    pytest.importorskip("peft")

    def change(folder: Path) -> None:
        if keeps_modules:
            odd.adapter_beside(folder)
            (folder / "model.safetensors").unlink()
        else:
            adapter_only(folder)

    out = fetch(change, base={"path": str(checkpoint)})
    assert "merged its adapter" in capsys.readouterr().out
    assert not list(out.glob("adapter*"))
    source = files.read_json(out / "source.json")["source"]
    assert source["base"]["path"] == str(checkpoint)
    assert source["base"]["files"]["model.safetensors"] == files.sha256(checkpoint / "model.safetensors")
    assert source["adapter"]["adapter_model.safetensors"] == files.sha256(tmp_path / "odd/adapter_model.safetensors")
    text = ["one two three"]
    before, merged = loader.load(checkpoint, "torch").encode(text), loader.load(out, "torch").encode(text)
    assert merged.shape == before.shape
    assert abs(merged - before).max() > 0.01


def test_an_adapter_of_another_model_is_refused(fetch: Fetch, checkpoint: Path) -> None:
    pytest.importorskip("peft")

    def change(folder: Path) -> None:
        odd.adapter_beside(folder)
        (folder / "model.safetensors").unlink()
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "adapter_model.safetensors")
        renamed = {name.replace("layer.1", "layer.7"): value for name, value in weights.items()}
        save_file(renamed, folder / "adapter_model.safetensors", metadata={"format": "pt"})

    refused(fetch, change, "the adapter does not fit the model.*layer.7", base={"path": str(checkpoint)})


def test_a_base_is_for_an_adapter_alone(fetch: Fetch, checkpoint: Path) -> None:
    refused(
        fetch,
        lambda folder: None,
        r"models\.tiny\.base is for an adapter alone.*remove `base`",
        base={"path": str(checkpoint)},
    )


def test_an_adapter_with_a_base_needs_peft(fetch: Fetch, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    refused(fetch, odd.adapter_alone, r"pip install '\.\[adapters\]'", base={"path": str(checkpoint)})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "what can be merged is LORA"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
    ],
)
def test_adapters_that_are_not_merged(fetch: Fetch, checkpoint: Path, keys: dict[str, Any], message: str) -> None:
    def change(folder: Path) -> None:
        odd.adapter_alone(folder)
        odd.change(folder / "adapter_config.json", **keys)

    refused(fetch, change, message, base={"path": str(checkpoint)})
