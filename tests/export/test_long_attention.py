"""Models of long texts: attention by blocks gives torch's numbers, and every variant passes at 8,192 tokens."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.export import comparison, exporting, long_attention, torch_model
from foundry.export.torch_model import Checkpoint
from foundry.loading import loader, memory
from foundry.reference import reference
from foundry.validation import results
from foundry.variants import variant_folder
from tests.support import architectures
from tests.support.projects import ROOT
from tests.support.stages import build, validate_in

LONGEST = 8192
BY_BLOCKS = ("modernbert", "nomic_bert", "gte", "jina_embeddings_v3", "xlm-roberta")
pytestmark = pytest.mark.skipif(loader.has_optimum(), reason="these architectures need transformers 5")


def checkpoint_of(folder: Path, name: str, tokens: int, max_tokens: int | None) -> Checkpoint:
    """A tiny model, with three texts of up to so many tokens: one of them is whole, two are padded."""
    change = {"local_attention": 32} if name == "modernbert" else {}
    architectures.make(folder, name, change=lambda config: config.update(max_position_embeddings=400, **change))
    ids = np.random.default_rng(0).integers(10, architectures.VOCABULARY, (3, tokens))
    mask = np.ones_like(ids)
    for row, length in ((1, max(tokens // 3, 1)), (2, max(tokens - 1, 1))):
        mask[row, length:] = 0
        ids[row, length:] = 0 if name != "xlm-roberta" else 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Checkpoint(folder, "feature-extraction", inputs, False, None, max_tokens)


@pytest.mark.parametrize(
    ("name", "format"),
    [*((name, "onnx") for name in BY_BLOCKS), ("modernbert", "openvino"), ("nomic_bert", "openvino")],
)
def test_blocks_give_torchs_numbers(tmp_path: Path, name: str, format: Any) -> None:
    made = checkpoint_of(tmp_path / name, name, 70, LONGEST)
    graph, record = exporting.export(made, tmp_path / "graph", format, torch_model.expected_output(made))
    assert graph is not None
    assert record["attention"] == variant_folder.BY_BLOCKS
    for tokens in (1, 2, 63, 64, 65, 128, 129, 300):  # around the sizes of blocks
        inputs = checkpoint_of(tmp_path / "again", name, tokens, LONGEST).inputs
        expected = torch_model.torch_output(torch_model.load_torch(made), inputs)
        got = comparison.run_graph(graph, inputs)
        assert comparison.difference(got, expected, inputs["attention_mask"]) < 1e-4, tokens
        assert np.isfinite(got).all()


@pytest.mark.parametrize(
    ("name", "reason"), [("qwen3", "in both directions"), ("deberta-v2", "does not|in its own way|not supported")]
)
def test_what_cannot_go_by_blocks_is_exported_as_before(tmp_path: Path, name: str, reason: str) -> None:
    made = checkpoint_of(tmp_path / name, name, 40, LONGEST)
    graph, record = exporting.export(made, tmp_path / "graph", "onnx", torch_model.expected_output(made))
    assert graph is not None
    assert "attention" not in record
    tried = next(why for name, why in record["tried_before"].items() if "by blocks" in name)
    assert any(part in tried for part in reason.split("|")), tried


def test_short_models_are_exported_as_before(tmp_path: Path) -> None:
    made = Checkpoint(tmp_path, "feature-extraction", {}, False, None, long_attention.LONG_TOKENS)
    assert exporting.exporters(made, "onnx") == exporting.EXPORTERS["onnx"]
    assert list(exporting.exporters(made._replace(max_tokens=None), "openvino")) == list(
        exporting.EXPORTERS["openvino"]
    )
    assert "by blocks" in next(iter(exporting.exporters(made._replace(max_tokens=LONGEST), "onnx")))


def test_a_model_with_code_of_its_own_is_exported_as_before(tmp_path: Path) -> None:
    made = checkpoint_of(tmp_path / "gte", "gte", 40, LONGEST)._replace(trusted=True)
    _, record = exporting.export(made, tmp_path / "graph", "onnx", torch_model.expected_output(made))
    assert "own code" in next(iter(record["tried_before"].values()))


@pytest.mark.parametrize("window", [3, 64, 100])
def test_near_tokens_are_those_within_the_window(window: int) -> None:
    import torch

    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 150, 8)
    bias = torch.zeros(2, 150)
    bias[1, 90:] = long_attention.HIDDEN
    got = long_attention.near(query, key, value, bias, 0.5, window)
    places = torch.arange(150)
    seen = ((places[:, None] - places[None, :]).abs() <= window) & (bias == 0)[:, None, None, :]
    scores = (query @ key.transpose(-1, -2) * 0.5).masked_fill(~seen, -torch.inf)
    expected = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)
    assert (got[0] - expected[0]).abs().max() < 1e-5
    assert (got[1, :90] - expected[1, :90]).abs().max() < 1e-5
    assert torch.isfinite(got).all()  # also of padding, to which nothing attends


@pytest.mark.parametrize(
    ("function", "local_size", "window"),
    [
        (lambda text, head, query, key: query >= 0, None, None),
        (lambda text, head, query, key: abs(query - key) <= 16, 16, 16),
        (lambda text, head, query, key: key <= query, None, "in both directions"),
        (lambda text, head, query, key: (key <= query) & (key > query - 16), 16, "in both directions"),
        (lambda text, head, query, key: query // 16 == key // 16, 16, "in both directions"),
    ],
)
def test_how_far_tokens_see_is_tried_out(function: Callable[..., Any], local_size: Any, window: Any) -> None:
    if isinstance(window, str):
        with pytest.raises(FoundryError, match=window):
            long_attention.window_of(function, local_size)
    else:
        assert long_attention.window_of(function, local_size) == window


def test_memory_by_blocks_grows_with_the_length(tiny: Path) -> None:
    written_out = [memory.input_bytes(tiny / "torch", 1, tokens) for tokens in (4096, 8192)]
    by_blocks = [memory.input_bytes(tiny / "torch", 1, tokens, written_out=False) for tokens in (4096, 8192)]
    assert written_out[1] > 3.9 * written_out[0]
    assert by_blocks[1] == 2 * by_blocks[0]


# --- A whole build at 8,192 tokens ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["modernbert", "nomic_bert"])
def test_every_variant_passes_at_every_length(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With long texts in the calibration set, and in the memory that attention written out would not fit in."""
    kind = architectures.ARCHITECTURES[name]
    longer = dataclasses.replace(kind, config={**kind.config, "max_position_embeddings": LONGEST})
    monkeypatch.setitem(architectures.ARCHITECTURES, name, longer)
    monkeypatch.setattr(architectures, "LENGTH", LONGEST)
    variants = ["onnx", "onnx_O3", "onnx_O4", "onnx_qint8_static", "openvino", "openvino_qint8_quantized"]
    architectures.write_params(tmp_path, name, "SentenceTransformer")
    raw = yaml.safe_load((tmp_path / "params.yaml").read_text())
    # Pieces of 40,000 characters are longer than 8,192 tokens.
    raw["sample"]["calibration"]["groups"]["whole"] = {"count": 1, "cut": 40_000}
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section in ("optimize", "quantize", "compress"):
        raw[section] = {key: row for key, row in committed[section].items() if key in variants}
    raw["variants"] = {key: {} for key in ("torch", *variants)}
    raw["validate"]["overrides"] = {key: row for key, row in raw["validate"]["overrides"].items() if key in variants}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    folder = build(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    covered = reference.read(tmp_path / "artifacts/reference" / name).coverage
    assert covered.texts[-1].tokens == LONGEST
    weights = variant_folder.weights_files(folder / "onnx", "onnx")
    monkeypatch.setattr(memory, "usable_bytes", lambda: memory.model_bytes(weights) + 900_000_000)
    assert memory.input_bytes(folder / "onnx", 1, LONGEST) > 3_000_000_000
    for variant in variants:
        assert variant_folder.by_blocks(folder / variant), variant
        result = validate_in(tmp_path, folder, variant, folder / variant)
        assert result["verdict"] == "passed", (variant, results.why_failed(result["checks"]) or result["reason"])
        assert max(result["inputs"]["lengths"]) == LONGEST
        assert result["inputs"]["lengths_left_out"] == []
