"""What Sentence Transformers' settings change in a model stands in config.json, where every exporter reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base import files
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from tests.support import odd_checkpoints as odd
from tests.support.downloads import Change, Fetch, refused

TEXTS = ["one two three", "", "a longer text, with a comma"]
SETTINGS = "sentence_bert_config.json"


def by_sentence_transformers(folder: Path) -> np.ndarray:
    """What Sentence Transformers itself makes of a checkpoint."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


def in_precision(precision: str, key: str = "dtype") -> Change:
    """The weights in another precision, as the settings say."""

    def change(folder: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        path = folder / "model.safetensors"
        weights = {name: value.to(getattr(torch, precision)) for name, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
        odd.change(folder / "config.json", **{"dtype": None, "torch_dtype": None, key: precision})

    return change


def in_settings(**arguments: Any) -> Change:
    return lambda folder: odd.change(folder / SETTINGS, **arguments)


def said_but_loaded_in_fp32(folder: Path) -> None:
    """Graphs are made by config.json, and arguments of torch's are not published with them."""
    in_precision("bfloat16")(folder)
    odd.change(folder / SETTINGS, model_args={"torch_dtype": "float32"})


@pytest.mark.parametrize(
    "arguments", [{"config_args": {"num_hidden_layers": 1}}, {"config_kwargs": {"hidden_act": "relu"}}]
)
def test_a_graph_is_of_the_model_that_the_settings_describe(
    fetch: Fetch, checkpoint: Path, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    out = fetch(in_settings(**arguments))
    expected = by_sentence_transformers(tmp_path / "odd")
    assert abs(expected - loader.load(checkpoint, "torch").encode(TEXTS)).max() > 0.01
    exporting.build("onnx", out, OnnxExport(), tmp_path / "onnx")
    for folder, variant in ((out, "torch"), (tmp_path / "onnx", "onnx")):
        assert not set(arguments) & set(files.read_json(folder / SETTINGS))
        assert loader.load(folder, variant).encode(TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.both_toolchains
@pytest.mark.parametrize(
    "change",
    [
        in_precision("bfloat16"),
        in_precision("bfloat16", key="torch_dtype"),
        in_precision("float16"),
        in_precision("float64"),
        in_settings(model_args={"torch_dtype": "bfloat16"}),
        said_but_loaded_in_fp32,
        in_settings(model_kwargs={"dtype": "float16", "attn_implementation": "sdpa"}),
    ],
)
def test_other_precisions_are_computed_in_fp32(
    fetch: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change
) -> None:
    out = fetch(change)
    assert "and computed in float32 here" in " ".join(capsys.readouterr().out.split())
    loaded = loader.load(out, "torch")
    assert str(loaded.transformer.auto_model.dtype) == "torch.float32"
    rows = loaded.encode(TEXTS)
    assert rows == pytest.approx(by_sentence_transformers(tmp_path / "odd"), abs=0.02)
    exporting.build("onnx", out, OnnxExport(), tmp_path / "onnx")
    assert loader.load(tmp_path / "onnx", "onnx").encode(TEXTS) == pytest.approx(rows, abs=1e-5)


def test_an_argument_that_is_not_of_the_configuration_changes_no_file(fetch: Fetch, tmp_path: Path) -> None:
    out = fetch(in_settings(config_args={"revision": "main"}))
    assert (out / "config.json").read_bytes() == (tmp_path / "odd/config.json").read_bytes()


def test_what_overflows_in_fp16_alone_is_built(fetch: Fetch, tmp_path: Path) -> None:
    """The weights are finite in fp16, and what the first feed-forward product gives is not."""

    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        (first,) = [name for name in weights if name.endswith("layer.0.intermediate.dense.bias")]
        (second,) = [name for name in weights if name.endswith("layer.0.output.dense.weight")]
        weights[first], weights[second] = weights[first] + 6e4, weights[second] * 0 + 10
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        in_precision("float16")(folder)

    out = fetch(change)
    assert np.isnan(by_sentence_transformers(tmp_path / "odd")).all()
    assert np.isfinite(loader.load(out, "torch").encode(TEXTS)).all()


def test_settings_that_do_not_go_with_config_are_refused(fetch: Fetch) -> None:
    def change(folder: Path) -> None:
        odd.change(folder / "config.json", layer_types=["full_attention", "full_attention"])
        odd.change(folder / SETTINGS, config_args={"num_hidden_layers": 1})

    refused(fetch, change, r"num_hidden_layers of its settings cannot stand in config\.json.*layer_types")


def test_other_files_keep_their_bytes(fetch: Fetch, checkpoint: Path, tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        odd.change(folder / SETTINGS, config_args={}, model_args={"attn_implementation": "sdpa"})

    out = fetch(change)
    for name in ("config.json", SETTINGS):
        assert (out / name).read_bytes() == (tmp_path / "odd" / name).read_bytes()
