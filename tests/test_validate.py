"""validate: an untouched variant passes, a damaged one fails by the check that saw it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stages import validate
from stages.shared import files, models, results
from stages.shared.params import Thresholds
from tests.conftest import TINY_VARIANTS

LOOSE = Thresholds(mean_cosine=0.9, p1_cosine=0.9, min_cosine=0.9, max_abs_diff=0.1)


def run(project: Callable[..., Path], tiny: Path, variant: str, folder: Path) -> results.Validation:
    out = project() / "validation" / f"{variant}.json"
    artifacts = tiny.parent.parent
    validate.main(variant, folder, artifacts / "reference/tiny", artifacts / "texts/validation.jsonl", out)
    result: results.Validation = files.read_json(out)
    return result


def failed(result: results.Validation) -> set[str]:
    return {row["check"] for row in result["checks"] if not row["passed"]}


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_untouched_variants_pass(project: Callable[..., Path], tiny: Path, variant: str) -> None:
    result = run(project, tiny, variant, tiny / variant)
    assert result["verdict"] == "passed", results.why_failed(result)
    assert result["files"] == dict(models.hashes(tiny / variant))
    assert result["texts"] == 48


def damage(tiny: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    folder = shutil.copytree(tiny / "onnx", target)
    path = models.weights_path(folder, "onnx")
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return folder


def scale_weights(model: Any) -> None:
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and "MatMul" in tensor.name:
            value = onnx.numpy_helper.to_array(tensor) * 1.3
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))


def poison(model: Any) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("LayerNorm.bias"))
    value = np.full(onnx.numpy_helper.to_array(tensor).shape, np.nan, dtype=np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))


def test_changed_weights_fail(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    result = run(project, tiny, "onnx", damage(tiny, tmp_path / "damaged", scale_weights))
    assert result["verdict"] == "failed"
    assert "mean_cosine" in failed(result)
    assert "mean_cosine" in str(results.why_failed(result))


def test_nan_fails_and_is_not_a_number_in_the_file(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    result = run(project, tiny, "onnx", damage(tiny, tmp_path / "damaged", poison))
    assert {"non_finite_values", "mean_cosine", "min_cosine"} <= failed(result)
    assert results.value_of(result, "mean_cosine") is None


def test_what_does_not_load_fails_and_says_why(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny / "onnx", tmp_path / "damaged")
    path = models.weights_path(folder, "onnx")
    path.write_bytes(path.read_bytes()[:5000])
    result = run(project, tiny, "onnx", folder)
    assert result["verdict"] == "failed"
    assert "does not load" in str(result["reason"])


def test_skipped_is_neither_passed_nor_failed(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    models.skip(tmp_path / "skipped", "onnx_O2", "no such fusion")
    result = run(project, tiny, "onnx_O2", tmp_path / "skipped")
    assert (result["verdict"], result["reason"], result["checks"]) == ("skipped", "no such fusion", [])


def test_each_threshold_decides(tiny: Path) -> None:
    reference = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    assert not {row["check"] for row in validate.compare(reference, reference, LOOSE) if not row["passed"]}
    one_bad = reference.copy()
    one_bad[7] = -one_bad[7]
    checks = {row["check"]: row["passed"] for row in validate.compare(one_bad, reference, LOOSE)}
    assert checks["mean_cosine"]  # 0.96
    assert not checks["min_cosine"]
    assert not checks["p1_cosine"]
    assert not checks["max_abs_diff"]


def test_another_width_fails(tiny: Path) -> None:
    checks = validate.compare(np.ones((3, 4)), np.ones((3, 8)), LOOSE)
    assert [row["check"] for row in checks if not row["passed"]] == ["dimensions"]
    checks = validate.compare(np.ones((3, 9)), np.ones((3, 8)), LOOSE)
    assert [row["check"] for row in checks if not row["passed"]] == ["dimensions"]
