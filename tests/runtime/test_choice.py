"""Which variant the runtime takes, by foundry.json and this machine."""

from pathlib import Path
from typing import Any

import pytest
from foundry_runtime import Embedder, UnusableModel, choice, machine

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
