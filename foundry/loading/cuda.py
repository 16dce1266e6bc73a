"""An NVIDIA GPU: whether a runtime can use one here, and what it then computes in.

ONNX Runtime without a working CUDA provider loads a graph on the processor, and only logs it; what was then checked or
measured would not be the GPU.
"""

from typing import Any

from foundry.base.errors import FoundryError
from foundry.variants import naming
from foundry.variants.precisions import FURTHER, InferencePrecision

COMPUTES: tuple[InferencePrecision, ...] = ("f32", "tf32", *FURTHER)


def of_machine(gpus: list[str]) -> dict[str, list[InferencePrecision]]:
    """What each runtime that can use a GPU here computes in, by backend; empty where the machine has none.

    `gpus` are those of the machine's profile.
    """
    if not gpus:
        return {}  # to ask torch costs its import
    reasons = {backend: why_not(backend) for backend in ("torch", "onnx")}
    return {backend: list(COMPUTES) for backend, reason in reasons.items() if reason is None}


def why_not(backend: str) -> str | None:
    """Why a backend cannot use a GPU here, and what to do; None where it can."""
    if backend == "torch":
        import torch

        return None if torch.cuda.is_available() else "torch sees no NVIDIA GPU: install its build for CUDA"
    if backend == "onnx":
        import onnxruntime

        if naming.CUDA_PROVIDER in onnxruntime.get_available_providers():
            return None
        return "onnxruntime has no CUDA provider: install the extra `gpu` (docs/gpu.md)"
    return f"{backend} does not run on an NVIDIA GPU"


def require(backend: str) -> None:
    """Make sure that a backend can use a GPU here.

    Raises:
        FoundryError: when it cannot, with what to do.
    """
    if reason := why_not(backend):
        raise FoundryError(reason)


def set_tf32(allowed: bool) -> None:
    """Whether torch may compute products of fp32 in TF32, in this process."""
    import torch

    torch.set_float32_matmul_precision("high" if allowed else "highest")


def torch_precision(model: Any) -> InferencePrecision:
    """`tf32` or `f32`: what torch computes a model of fp32 in."""
    import torch

    on_gpu = getattr(getattr(model, "device", None), "type", "cpu") == "cuda"
    return "tf32" if on_gpu and torch.get_float32_matmul_precision() != "highest" else "f32"
