"""Verdicts in bf16 and f16: only from a machine that computes in them, by the checks and thresholds that they have.

torch computes in bf16 on every processor, so its numbers here are real ones. What OpenVINO computes in is faked, one
way and the other: these tests run on processors with bf16 and without.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.loading import loader, precisions
from foundry.params import resolving
from foundry.validation import runtime
from foundry.validation.settings import UPPER_LIMITS, Thresholds, looser
from tests.support.projects import ROOT
from tests.support.stages import validate_in

Project = Callable[..., Path]


def value(checks: list[Any], name: str) -> float:
    return float(next(check["value"] for check in checks if check["check"] == name))


def test_a_machine_that_does_not_compute_it_says_so(project: Project, tiny: Path) -> None:
    result = validate_in(project(), tiny, "openvino", tiny / "openvino")
    assert result["verdict"] == "passed"
    assert {name: row["verdict"] for name, row in result["precisions"].items()} == {
        "bf16": "not computed",
        "f16": "not computed",
    }
    assert "processor does not compute in bf16" in result["precisions"]["bf16"]["reason"]
    assert validate_in(project(), tiny, "onnx", tiny / "onnx", ["bf16"])["precisions"] == {}


def test_torch_in_bf16_has_numbers_and_thresholds_of_its_own(project: Project, tiny: Path) -> None:
    # Random weights have nearly one direction, so that centred cosines in bf16 are lower than a trained model's.
    loose = {
        "mean_centred_cosine": 0.99,
        "p5_centred_cosine": 0.99,
        "p1_centred_cosine": 0.99,
        "min_centred_cosine": 0.98,
        "consistency_min_cosine": 0.99,
    }
    root = project(lambda raw: raw["validate"]["overrides"].update(torch=loose))
    result = validate_in(root, tiny, "torch", tiny / "torch", ["bf16"])
    judged = result["precisions"]["bf16"]
    assert judged["verdict"] == "passed", judged["reason"]
    assert value(result["checks"], "max_abs_diff") < 1e-6 < value(judged["checks"], "max_abs_diff")
    assert result["precisions"]["f16"]["verdict"] == "not computed"
    thresholds = {check["check"]: check["threshold"] for check in judged["checks"]}
    assert (thresholds["min_cosine"], thresholds["max_abs_diff"]) == (0.999, 0.01)


def test_failing_in_bf16_leaves_the_verdict_of_f32_as_it_is(project: Project, tiny: Path) -> None:
    def tight(raw: dict[str, Any]) -> None:
        raw["validate"]["overrides"]["torch"] = {"max_abs_diff": 1e-5}

    result = validate_in(project(tight), tiny, "torch", tiny / "torch", ["bf16"])
    assert result["verdict"] == "passed"
    assert result["precisions"]["bf16"]["verdict"] == "failed"
    assert "max_abs_diff" in result["precisions"]["bf16"]["reason"]


def test_a_hint_that_the_runtime_does_not_follow_is_no_verdict(
    project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "of_loaded", lambda loaded: "f32")
    judged = validate_in(project(), tiny, "openvino", tiny / "openvino", ["bf16"])["precisions"]["bf16"]
    assert (judged["verdict"], judged["checks"]) == ("not computed", [])
    assert judged["reason"] == "told to compute in bf16, the runtime computes in f32"


def compiled(**kernels: int) -> Any:
    """What OpenVINO says of a compiled model: a product for each of so many kernels of a name, and nodes of others."""
    facts = [
        ("Softmax", "ref_f16"),
        *(("FullyConnected", name) for name, count in kernels.items() for _ in range(count)),
    ]
    nodes = [
        SimpleNamespace(
            get_rt_info=lambda kind=kind, kernel=kernel: {
                "layerType": SimpleNamespace(value=kind),
                "primitiveType": SimpleNamespace(value=kernel),
            }
        )
        for kind, kernel in facts
    ]
    return SimpleNamespace(get_runtime_model=lambda: SimpleNamespace(get_ops=lambda: nodes))


def test_what_openvino_multiplies_by_its_reference_code_is_said() -> None:
    assert precisions.why_too_slow(compiled(brgemm_avx512_amx_I8=3), "f16") is None
    reason = precisions.why_too_slow(compiled(brgemm_avx512_amx_I8=1, ref_any_I8=2), "f16")
    assert reason is not None
    assert reason.startswith("OpenVINO has no fast code here for 2 of its 3 products in f16")


@pytest.mark.parametrize("variant", ["openvino_fp16", "openvino_qint8_quantized"])
def test_a_precision_that_takes_reference_code_has_no_verdict(project: Project, tiny: Path, variant: str) -> None:
    here = precisions.of_processor()
    judged = validate_in(project(), tiny, variant, tiny / variant, here)["precisions"]["f16"]
    if variant == "openvino_fp16" and "f16" in here:
        assert judged["verdict"] == "passed"
    elif "f16" in here:  # a later oneDNN may have a kernel
        assert judged["verdict"] == "passed" or "reference code" in judged["reason"]
    else:
        assert "does not compute in f16" in judged["reason"]


def test_openvino_in_bf16_is_checked_in_full(project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "of_loaded", lambda loaded: "bf16")
    result = validate_in(project(), tiny, "openvino_qint8_quantized", tiny / "openvino_qint8_quantized", ["bf16"])
    judged = result["precisions"]["bf16"]
    assert judged["verdict"] == "passed", judged["reason"]
    of_the_file = {"changed_files", "head_error", "runtime_different_tokens", "runtime_min_cosine"}
    in_f32 = {check["check"] for check in result["checks"]} - of_the_file
    assert {check["check"] for check in judged["checks"]} == in_f32


def test_what_does_not_run_in_a_precision_fails_there(
    project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loader.load

    def fails(folder: Path, variant: str, options: Any = None) -> Any:
        if options:
            raise RuntimeError("no kernel")
        return load(folder, variant)

    monkeypatch.setattr(loader, "load", fails)
    result = validate_in(project(), tiny, "openvino", tiny / "openvino", ["bf16"])
    assert (result["verdict"], result["precisions"]["bf16"]["verdict"]) == ("passed", "failed")
    assert "no kernel" in result["precisions"]["bf16"]["reason"]


def test_a_variant_that_failed_in_f32_is_not_looked_at_in_another(project: Project, tiny: Path) -> None:
    def tight(raw: dict[str, Any]) -> None:
        raw["validate"]["overrides"]["openvino_fp16"] = {"max_abs_diff": 1e-12}

    result = validate_in(project(tight), tiny, "openvino_fp16", tiny / "openvino_fp16", ["bf16"])
    assert (result["verdict"], result["precisions"]) == ("failed", {})


# --- Thresholds ------------------------------------------------------------------------------------------


def test_int8_in_bf16_may_be_as_far_off_as_int8_and_no_further() -> None:
    params = resolving.validated(yaml.safe_load((ROOT / "params.yaml").read_text()))
    classes = params.validate_.thresholds
    limits = resolving.precisions(params, "openvino_qint8_quantized")["bf16"]
    assert (limits.mean_cosine, limits.max_abs_diff) == (classes.int8_static.mean_cosine, 0.06)
    in_bf16 = resolving.precisions(params, "openvino")["bf16"]
    assert in_bf16 == classes.bf16
    assert resolving.precisions(params, "onnx") == {}
    assert list(resolving.precisions(params, "torch")) == ["bf16", "f16"]


def test_the_looser_threshold_is_the_higher_one_of_an_upper_limit(project: Project, tiny: Path) -> None:
    checks = validate_in(project(), tiny, "openvino", tiny / "openvino")["checks"]
    limits = Thresholds.model_fields.keys()
    assert {row["check"] for row in checks if row["check"] in limits and row["relation"] == "<="} == UPPER_LIMITS
    params = resolving.validated(yaml.safe_load((ROOT / "params.yaml").read_text()))
    exact = params.validate_.thresholds.fp32
    mixed = looser(exact, exact.model_copy(update={"max_abs_diff": 1.0, "mean_cosine": 1.0, "min_cosine": 0.5}))
    assert (mixed.max_abs_diff, mixed.mean_cosine, mixed.min_cosine) == (1.0, exact.mean_cosine, 0.5)


def test_an_override_and_a_budget_hold_in_every_precision(project: Project) -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["validate"]["overrides"] = {"openvino": {"min_cosine": 0.99999}}
    raw["calibrate"]["openvino_qint8_quantized"] = {"budget": {"mean_cosine": 0.9999}}
    params = resolving.validated(raw)
    assert resolving.precisions(params, "openvino")["bf16"].min_cosine == 0.99999
    assert resolving.precisions(params, "openvino_qint8_quantized")["bf16"].mean_cosine == 0.9999


def test_an_unknown_precision_is_an_error_that_says_what_is_allowed() -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["validate"]["precisions"] = ["bf16", "f8"]
    with pytest.raises(FoundryError, match=r"validate.precisions.1: got 'f8'; input should be 'bf16' or 'f16'"):
        resolving.validated(raw)


# --- What is computed in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [(["FP32", "INT8", "BIN"], []), (["BF16", "FP32"], ["bf16"]), (["FP32", "FP16", "BF16"], ["bf16", "f16"])],
)
def test_the_processor_is_asked(monkeypatch: pytest.MonkeyPatch, capabilities: list[str], expected: list[str]) -> None:
    import openvino

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return capabilities

    monkeypatch.setattr(openvino, "Core", Core)
    assert precisions.of_processor() == expected


def test_a_loaded_variant_says_what_it_computes_in(tiny: Path) -> None:
    assert precisions.of_loaded(loader.load(tiny / "torch", "torch")) == "f32"
    assert precisions.of_loaded(loader.load(tiny / "torch", "torch", {"precision": "bf16"})) == "bf16"
    assert precisions.of_loaded(loader.load(tiny / "torch", "torch", {"precision": "f16"})) == "f16"
    assert precisions.of_loaded(loader.load(tiny / "onnx", "onnx")) == "f32"
    assert precisions.of_loaded(loader.load(tiny / "openvino", "openvino")) == "f32"
    told = loader.load(tiny / "openvino", "openvino", {"precision": "bf16"})
    assert precisions.of_loaded(told) == ("bf16" if "bf16" in precisions.of_processor() else "f32")


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, alter: Callable[[Any], Any] = lambda loaded: loaded) -> None:
    """A machine with a GPU, whose part the processor plays, and what it is told to compute in it does."""
    load, told = loader.load, {"precision": "f32"}

    def on_processor(folder: Path, variant: str, options: Any = None) -> Any:
        if (options or {}).get("device") != "cuda":
            return load(folder, variant, options)
        told["precision"] = options["precision"]
        return alter(load(folder, variant))

    monkeypatch.setattr(loader, "load", on_processor)
    monkeypatch.setattr(precisions, "of_loaded", lambda loaded: told["precision"])
    # What foundry_runtime does on a GPU takes one.
    monkeypatch.setattr(runtime, "in_precision", lambda *arguments: [])


ON_CUDA = {"torch": ["f32", "tf32", "bf16", "f16"], "onnx": ["f32", "tf32"]}


def test_on_a_gpu_every_check_is_made_in_every_precision(
    project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch)
    result = validate_in(project(), tiny, "onnx", tiny / "onnx", on_cuda=ON_CUDA)
    assert {name: row["verdict"] for name, row in result["cuda"].items()} == {"f32": "passed", "tf32": "passed"}
    of_the_file = {"changed_files", "head_error", "runtime_different_tokens", "runtime_min_cosine"}
    made = {check["check"] for check in result["cuda"]["f32"]["checks"]}
    assert made == {check["check"] for check in result["checks"]} - of_the_file - {"runtime_min_cosine_to_torch"}
    limits = {name: value_of(row["checks"], "max_abs_diff") for name, row in result["cuda"].items()}
    assert limits == {"f32": 0.002, "tf32": 0.005}


def value_of(checks: list[Any], name: str) -> float:
    return float(next(check["threshold"] for check in checks if check["check"] == name))


def test_what_differs_on_a_gpu_fails_there_and_nowhere_else(
    project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(loaded: Any) -> Any:
        encode = loaded.encode
        monkeypatch.setattr(loaded, "encode", lambda *arguments, **options: encode(*arguments, **options) + 0.05)
        return loaded

    on_a_gpu(monkeypatch, shifted)
    result = validate_in(project(), tiny, "onnx", tiny / "onnx", on_cuda=ON_CUDA)
    assert (result["verdict"], result["cuda"]["f32"]["verdict"]) == ("passed", "failed")
    assert "max_abs_diff" in result["cuda"]["f32"]["reason"]


def test_nothing_is_said_of_a_gpu_that_is_not_there_or_does_not_run_the_file(project: Project, tiny: Path) -> None:
    assert validate_in(project(), tiny, "onnx", tiny / "onnx")["cuda"] == {}
    assert validate_in(project(), tiny, "openvino", tiny / "openvino", on_cuda=ON_CUDA)["cuda"] == {}
    quantized = tiny / "onnx_qint8_static"
    assert validate_in(project(), tiny, quantized.name, quantized, on_cuda=ON_CUDA)["cuda"] == {}


def test_only_the_precisions_that_are_asked_for(project: Project, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_gpu(monkeypatch)
    root = project(lambda raw: raw["validate"].update(cuda=["f32"]))
    assert list(validate_in(root, tiny, "onnx", tiny / "onnx", on_cuda=ON_CUDA)["cuda"]) == ["f32"]
