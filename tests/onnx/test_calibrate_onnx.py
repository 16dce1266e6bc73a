"""calibrate_onnx: static int8 keeps the embedding in ONNX Runtime, alone as in a batch."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from foundry.base import files
from foundry.data import texts
from foundry.head import onnx_graph
from foundry.loading import loader
from foundry.reference import reference
from foundry.reference.closeness import cosines
from foundry.variants import variant_folder
from stages import calibrate_onnx
from tests.support.stages import measured_on, settings_file

VARIANT = "onnx_qint8_static"


def calibrated(project: Callable[..., Path], tiny: Path, row: dict[str, Any]) -> Path:
    def change(raw: dict) -> None:
        raw["calibrate_onnx"][VARIANT] = row

    out = project(change) / "out"
    calibration_texts = measured_on(tiny)[1].with_name("calibration.jsonl")
    calibrate_onnx.main(
        VARIANT, settings_file(f"build/{VARIANT}"), tiny / "onnx", calibration_texts, *measured_on(tiny), out
    )
    return out


def closeness(folder: Path, models_folder: Path) -> np.ndarray:
    validation_texts = [row["text"] for row in texts.read(measured_on(models_folder)[1])]
    expected = reference.read(measured_on(models_folder)[0]).embeddings
    return cosines(loader.load(folder, VARIANT).encode(validation_texts), expected)


def operators(folder: Path) -> Counter[str]:
    model = onnx.load(variant_folder.weights_path(folder, VARIANT))
    onnx_graph.remove_head(model)
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"preset": "performance"},
        {"outlier_copies": 0},
        {"reduce_range": "never", "bias_correction": False, "int8_embeddings": False},
        {"ignored_scope": {"patterns": ["layer.1/output"]}},
    ],
    ids=str,
)
def test_every_setting_gives_a_graph_that_is_close(
    project: Callable[..., Path], tiny: Path, row: dict[str, Any]
) -> None:
    assert 0.97 < closeness(calibrated(project, tiny, row), tiny).mean() < 1


def test_every_product_runs_on_integers_with_its_bias(project: Callable[..., Path], tiny: Path) -> None:
    counts = operators(calibrated(project, tiny, {}))
    assert counts["MatMulIntegerToFloat"] == 12
    assert counts["QuantizeLinear"] == 8
    assert counts["MatMul"] == 0
    graph = onnx.load(variant_folder.weights_path(calibrated(project, tiny, {}), VARIANT)).graph
    assert all(len(node.input) == 4 for node in graph.node if node.op_type == "SkipLayerNormalization")
    assert all(len(node.input) == 1 for node in graph.node if node.op_type == "FastGelu")


def test_products_in_the_ignored_scope_stay_in_float(project: Callable[..., Path], tiny: Path) -> None:
    counts = operators(calibrated(project, tiny, {"ignored_scope": {"patterns": ["layer.1/output"]}}))
    assert (counts["MatMul"], counts["MatMulIntegerToFloat"]) == (1, 11)


def test_a_budget_is_held(project: Callable[..., Path], tiny: Path) -> None:
    at_once = closeness(calibrated(project, tiny, {"outlier_copies": 0}), tiny).mean()
    wanted = round(1 - (1 - float(at_once)) / 2, 6)
    out = calibrated(project, tiny, {"outlier_copies": 0, "budget": {"mean_cosine": wanted}})
    assert closeness(out, tiny).mean() >= wanted
    search = files.read_json(out / variant_folder.SEARCHED)
    assert operators(out)["MatMul"] == len(search["in_float"]) > 0


@pytest.mark.slow
def test_the_real_model_keeps_its_embedding_in_every_batch(real: Path) -> None:
    cosine = closeness(real / VARIANT, real)
    assert cosine.mean() > 0.997
    assert cosine.min() > 0.98
    model = loader.load(real / VARIANT, VARIANT)
    batch = [row["text"] for row in texts.read(measured_on(real)[1])][:32]
    np.testing.assert_allclose(model.encode(batch, batch_size=32), model.encode(batch, batch_size=1), atol=1e-5)
