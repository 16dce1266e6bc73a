"""Which variant the runtime takes, by foundry.json and this machine."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from foundry_runtime import Embedder, UnusableModel, choice, machine
from foundry_runtime.errors import ProviderUnavailable
from foundry_runtime.folder import open_folder

from tests.support import graph_models

VARIANTS = ("onnx", "onnx_O2", "onnx_int8")
AVX2, VNNI = {"avx2"}, {"avx2", "avx512_vnni"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published folder on a machine without VNNI."""
    monkeypatch.setattr(machine, "architecture", lambda: "x86_64")
    on(monkeypatch, AVX2)
    return graph_models.make_published(tmp_path / "model", VARIANTS)


def on(monkeypatch: pytest.MonkeyPatch, flags: set[str]) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset(flags))


def entry(speed: float, cosine: float = 1.0, **others: Any) -> dict[str, Any]:
    return {"speed": {"medium": {"median": speed}}, "figures": {"min_cosine": cosine}, **others}


def recommend(variant: str, **changes: Any) -> dict[str, Any]:
    row = {"use": "throughput", "texts": "medium", "budget": 0, "variant": variant, "precision": "f32"}
    return row | changes


def test_the_recommended_one_on_a_machine_that_is_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        recommend("torch", use="latency"), recommend("onnx", budget=0.01), recommend("onnx", use="size"),
        recommend("onnx", texts="long"), recommend("onnx_int8"),
    ]  # fmt: skip
    graph_models.record(folder, VARIANTS, recommended=answers, onnx_O2=entry(9.0))
    assert Embedder(folder).variant == "onnx_int8"
    on(monkeypatch, VNNI)
    assert Embedder(folder).variant == "onnx_O2"  # another machine: the fastest of the nearest
    on(monkeypatch, {"avx2", "avx512_bf16"})
    assert Embedder(folder).variant == "onnx_O2"
    on(monkeypatch, AVX2)
    monkeypatch.setattr(machine, "architecture", lambda: "arm64")
    assert Embedder(folder).variant == "onnx_O2"


def test_the_fastest_of_the_nearest_where_nothing_is_recommended(folder: Path) -> None:
    graph_models.record(folder, VARIANTS, onnx=entry(1.0), onnx_O2=entry(1.5), onnx_int8=entry(3.0, 0.98))
    assert Embedder(folder).variant == "onnx_O2"
    graph_models.record(folder, VARIANTS, onnx=entry(1.0, 0.97), onnx_O2=entry(1.5, 0.96), onnx_int8=entry(3.0, 0.95))
    assert Embedder(folder).variant == "onnx"


def test_what_did_not_pass_here_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"avx2": {"name": "x86 without VNNI", "verdict": "failed"}, "vnni": {"verdict": "passed"}}
    graph_models.record(
        folder, VARIANTS, recommended=[recommend("onnx_int8")],
        onnx_int8=entry(3.0, processors=families), onnx_O2=entry(2.0, verdict="failed"),
    )  # fmt: skip
    assert Embedder(folder).variant == "onnx"
    with pytest.raises(UnusableModel, match="on processors x86 without VNNI its verdict is failed"):
        Embedder(folder, "onnx_int8")
    with pytest.raises(UnusableModel, match="onnx_O2 cannot be run here: its verdict is failed"):
        Embedder(folder, "onnx_O2")
    on(monkeypatch, set())  # nothing says what this processor does: the worse of the two
    with pytest.raises(UnusableModel, match="its verdict is failed"):
        Embedder(folder, "onnx_int8")
    on(monkeypatch, VNNI)
    assert Embedder(folder, "onnx_int8").variant == "onnx_int8"


def test_what_is_not_there_or_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableModel, match="no variant 'onnx_O9'; it has torch, onnx, onnx_O2, onnx_int8"):
        Embedder(folder, "onnx_O9")
    with pytest.raises(UnusableModel, match="torch is what this package does without"):
        Embedder(folder, "torch")
    monkeypatch.setattr(choice, "installed", lambda: [])
    with pytest.raises(UnusableModel, match=r"no variant for this machine.*onnxruntime is not installed"):
        Embedder(folder)


def test_a_precision_must_have_been_validated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableModel, match="onnx was not validated in bf16; it was in f32"):
        Embedder(folder, "onnx", precision="bf16")
    graph_models.record(folder, VARIANTS, onnx={"ways": {"f32": {}, "bf16": {}}})
    with pytest.raises(UnusableModel, match="processor does not compute in bf16"):
        Embedder(folder, "onnx", precision="bf16")


def test_a_folder_that_is_none() -> None:
    for name in ("nowhere", "a/b/c", "/nowhere/at/all", "./nowhere/x"):
        with pytest.raises(UnusableModel, match="is no folder, and no repository"):
            Embedder(name)


def on_gpu(**verdicts: Any) -> dict[str, Any]:
    return {"cuda": {precision: {"figures": {"min_cosine": 1.0}} for precision in verdicts.pop("passed", ())}}


def chosen(folder: Path, *wished: str | None) -> choice.Choice:
    return choice.choose(open_folder(folder), *wished, device="cuda")


def test_on_a_gpu_only_what_was_validated_on_one(folder: Path) -> None:
    with pytest.raises(UnusableModel, match="no ONNX file was validated on a GPU"):
        chosen(folder)
    answers = [
        recommend("onnx_int8"), recommend("onnx", device="cuda", budget=0.01),
        recommend("onnx_O2", device="cuda", use="latency"), recommend("onnx", device="cuda", precision="tf32"),
    ]  # fmt: skip
    passed = {"onnx": entry(1.0, **on_gpu(passed=["f32", "tf32"])), "onnx_O2": entry(2.0, **on_gpu(passed=["f32"]))}
    graph_models.record(folder, VARIANTS, **passed)
    with pytest.raises(UnusableModel, match="nothing is recommended for a GPU: name one of onnx, onnx_O2"):
        chosen(folder)
    graph_models.record(folder, VARIANTS, recommended=answers, **passed)
    assert (chosen(folder).variant, chosen(folder).precision) == ("onnx", "tf32")
    assert (chosen(folder, "onnx_O2").variant, chosen(folder, "onnx_O2").precision) == ("onnx_O2", "f32")
    assert chosen(folder, "onnx", "f32").precision == "f32"
    with pytest.raises(UnusableModel, match="onnx_int8 was not validated on a GPU; onnx, onnx_O2 were"):
        chosen(folder, "onnx_int8")
    with pytest.raises(UnusableModel, match="onnx_O2 was not validated in tf32 on a GPU; it was in f32"):
        chosen(folder, "onnx_O2", "tf32")
    # What is recommended for a GPU is none of a processor's business.
    assert Embedder(folder).variant == "onnx_int8"


def test_a_device_that_is_none_and_one_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UnusableModel, match="device is 'gpu', must be cpu or cuda"):
        Embedder(folder, device="gpu")
    graph_models.record(folder, VARIANTS, onnx=entry(1.0, **on_gpu(passed=["f32"])))
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ProviderUnavailable, match="CUDAExecutionProvider cannot be used here: ONNX Runtime has"):
            Embedder(folder, "onnx", device="cuda")


def test_a_folder_that_is_not_verified_on_a_gpu(folder: Path) -> None:
    unverified = open_folder(folder, verify=False)
    assert choice.choose(unverified, "onnx", "tf32", device="cuda").precision == "tf32"
    with pytest.raises(UnusableModel, match="onnx computes in the types of its file, not in tf32"):
        choice.choose(unverified, "onnx", "tf32")
    with pytest.raises(UnusableModel, match="OpenVINO does not run on an NVIDIA GPU"):
        choice.choose(unverified, "openvino", device="cuda")
