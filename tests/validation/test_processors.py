"""A verdict for processors with VNNI and without, on whichever the tests run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base import files
from foundry.data import texts
from foundry.int8.saturation import Ranges
from foundry.loading import loader
from foundry.onnx import saturation as onnx_saturation
from foundry.openvino import saturation as openvino_saturation
from foundry.reference import reference
from foundry.validation import processors, results
from foundry.validation.settings import ValidateVariant
from foundry.variants import variant_folder
from tests.support.integer_products import SAFE, SATURATING, append_to_onnx, append_to_openvino
from tests.support.stages import measured_on, settings_file, validate_in

# As which variant, made of which graph, by which function.
CASES = {
    "onnx_qint8_avx512": ("onnx", append_to_onnx, onnx_saturation),
    "openvino_qint8_quantized": ("openvino", append_to_openvino, openvino_saturation),
}


@pytest.fixture(params=CASES)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_product(tiny: Path, variant: str, weight: int, out: Path) -> Path:
    """The variant's folder with the tiny model in fp32, and a product of integers after it."""
    source, append, _ = CASES[variant]
    with files.replacing_folder(out) as partial:
        target = variant_folder.prepare(partial, tiny / source, variant)
        graph = variant_folder.weights_path(tiny / source, source)
        shutil.copyfile(graph, target)
        if source == "openvino":
            shutil.copyfile(graph.with_suffix(".bin"), target.with_suffix(".bin"))
    append(out, variant, weight)
    return out


def test_what_saturates_passes_with_vnni_and_fails_without(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, variant: str
) -> None:
    folder = with_product(tiny, variant, SATURATING, tmp_path / "saturating")
    result: results.Validation = validate_in(project(), tiny, variant, folder)
    verdicts = {family: own["verdict"] for family, own in result["processors"].items()}
    assert verdicts == {"vnni": "passed", "avx2": "failed"}, result
    here, other = ("avx2", "vnni") if CASES[variant][2].saturates_here() else ("vnni", "avx2")
    assert {family: own["how"] for family, own in result["processors"].items()} == {
        here: "measured",
        other: "simulated",
    }
    assert result["verdict"] == "passed"  # on one family; its readers ask which
    assert list(results.families_that_fail(result)) == ["avx2"]
    assert "mean_cosine" in results.families_that_fail(result)["avx2"]
    assert results.on_family(result, "vnni")["verdict"] == "passed"
    assert {results.on_family(result, family)["verdict"] for family in ("avx2", None)} == {"failed"}
    assert result["saturation"] is not None
    assert result["saturation"]["saturate"] == 1
    assert result["saturation"]["largest_sum"] > 32767


def test_what_cannot_saturate_passes_for_both_without_a_simulation(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulated(*_: Any) -> None:
        raise AssertionError("nothing has to be simulated")

    monkeypatch.setattr(processors.ProcessorTrial, "load", simulated)
    folder = with_product(tiny, variant, SAFE, tmp_path / "safe")
    result = validate_in(project(), tiny, variant, folder)
    assert {family: (own["verdict"], own["how"]) for family, own in result["processors"].items()} == {
        "vnni": ("passed", "same"),
        "avx2": ("passed", "same"),
    }, result
    assert result["saturation"]["products"] == 1
    assert result["saturation"]["can_saturate"] == 0


def test_the_simulation_is_what_the_processor_computes(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, variant: str
) -> None:
    """Both families are simulated, and the one of this processor is compared with the runtime's own result."""
    project()
    folder = with_product(tiny, variant, SATURATING, tmp_path / "saturating")
    settings = ValidateVariant.model_validate_json(settings_file(f"validate/{variant}").read_bytes())
    expected = reference.read(measured_on(tiny)[0])
    selected = [row["text"] for row in texts.read(measured_on(tiny)[1])]
    scratch = tmp_path / "graphs"
    scratch.mkdir()
    trial = processors.ProcessorTrial(folder, variant, selected, {}, expected, settings, scratch)
    ranges = Ranges()
    _, exact = trial.measure({}, ranges)
    exact_embeddings = exact.encode(selected, settings.batch_size)
    _, saturated = trial.saturated(ranges)
    saturated_embeddings = saturated.encode(selected, settings.batch_size)
    here = loader.load(folder, variant).encode(selected, settings.batch_size)
    agreeing, other = exact_embeddings, saturated_embeddings
    if CASES[variant][2].saturates_here():
        agreeing, other = other, agreeing
    np.testing.assert_allclose(here, agreeing, atol=1e-4)
    assert np.abs(here - other).max() > 0.05


def test_a_changed_range_is_followed() -> None:
    """Where sums saturate, later layers see other values: the pairs of these are added in another round."""
    ranges, seen = Ranges(), Ranges()
    ranges.add("tokens", np.array([0, 0]), np.array([100, 100]))
    seen.add("tokens", np.array([0, 0]), np.array([255, 255]))
    weight = np.full((2, 1), 127, np.int8)
    assert not ranges.pairs("tokens", weight).includes(seen.pairs("tokens", weight))
    ranges.add_all(seen)
    assert ranges.pairs("tokens", weight).includes(seen.pairs("tokens", weight))
