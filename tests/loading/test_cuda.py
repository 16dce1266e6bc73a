"""What holds of an NVIDIA GPU on a machine without one: errors that say what to do, and nothing that runs elsewhere."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from foundry.base.errors import FoundryError
from foundry.loading import cuda, loader, precisions
from foundry.variants import naming
from foundry.variants.precisions import on_cuda, way

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU runs there")


def test_a_machine_without_a_gpu_imports_nothing_to_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cuda.of_machine([]) == {}


def test_a_gpu_that_no_library_can_use_computes_nothing() -> None:
    assert cuda.of_machine(["NVIDIA H100 80GB HBM3, 81559 MiB, 580.0"]) == {}


def test_a_gpu_that_both_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "why_not", lambda backend: None)
    every = ["f32", "tf32", "bf16", "f16"]
    assert cuda.of_machine(["a GPU"]) == {"torch": every, "onnx": every}


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("torch", "torch sees no NVIDIA GPU: install its build for CUDA"),
        ("onnx", "onnxruntime has no CUDA provider: install the extra `gpu`"),
        ("openvino", "openvino does not run on an NVIDIA GPU"),
    ],
)
def test_loading_on_a_gpu_that_is_not_there_is_an_error(tiny: Path, variant: str, said: str) -> None:
    with pytest.raises(FoundryError, match=said):
        loader.load(tiny / variant, variant, {"device": "cuda"})


def test_what_a_file_can_be_computed_in_there() -> None:
    assert on_cuda("torch", "fp32") == ("f32", "tf32", "bf16", "f16")
    assert on_cuda("onnx_O3", "fp32") == ("f32", "tf32")
    assert on_cuda("onnx_O4", "fp16") == ("f32",)
    assert on_cuda("onnx_qint8_avx2", "int8_dynamic") == on_cuda("openvino_fp16", "fp16") == ()


def test_the_names_of_ways_and_what_they_are_loaded_with() -> None:
    assert way("onnx_O4", "f32", "cuda") == "onnx_O4 on cuda"
    assert way("torch", "tf32", "cuda") == "torch in tf32 on cuda"
    assert naming.model_kwargs("onnx_O4", "f32", "cuda") == {
        "file_name": "model_O4.onnx", "provider": "CUDAExecutionProvider", "provider_options": {"use_tf32": "0"},
    }  # fmt: skip
    assert naming.model_kwargs("onnx", "tf32", "cuda")["provider_options"] == {"use_tf32": "1"}
    assert naming.model_kwargs("torch", "tf32", "cuda") == {}
    assert naming.model_kwargs("torch", "bf16", "cuda") == {"dtype": "bfloat16"}
    for variant, precision in (("onnx", "bf16"), ("openvino", "f32")):
        with pytest.raises(ValueError, match=f"{variant} computes in the types of its file"):
            naming.model_kwargs(variant, precision, "cuda")


def test_what_a_loaded_variant_computes_in() -> None:
    def loaded(**facts: Any) -> Any:
        return SimpleNamespace(transformer=SimpleNamespace(auto_model=SimpleNamespace(**facts)))

    def session(options: dict[str, Any]) -> Any:
        return SimpleNamespace(get_provider_options=lambda: options)

    assert precisions.of_loaded(loaded(session=session({"CPUExecutionProvider": {}}))) == "f32"
    assert precisions.of_loaded(loaded(session=session({naming.CUDA_PROVIDER: {"use_tf32": "1"}}))) == "tf32"
    assert precisions.of_loaded(loaded(session=session({naming.CUDA_PROVIDER: {"use_tf32": "0"}}))) == "f32"
    on_gpu = torch.device("cuda")
    cuda.set_tf32(True)
    try:
        assert precisions.of_loaded(loaded(dtype=torch.float32, device=on_gpu)) == "tf32"
        assert precisions.of_loaded(loaded(dtype=torch.float32, device=torch.device("cpu"))) == "f32"
        assert precisions.of_loaded(loaded(dtype=torch.bfloat16, device=on_gpu)) == "bf16"
    finally:
        cuda.set_tf32(False)
    assert precisions.of_loaded(loaded(dtype=torch.float32, device=on_gpu)) == "f32"
