"""The precision and the device that a variant's file is computed in: f32 on the processor everywhere, and another one
where the runtime can be told.

A way to run a file is the variant, this precision and this device. It has its own verdict: see
`foundry.validation.precision`.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from foundry.variants import naming

FurtherPrecision = Literal["bf16", "f16"]
# tf32 is fp32 whose products a GPU computes with 10 bits behind the point: on NVIDIA's, since Ampere.
InferencePrecision = Literal["f32", "tf32", "bf16", "f16"]
Device = Literal["cpu", "cuda"]
FURTHER: tuple[FurtherPrecision, ...] = get_args(FurtherPrecision)
OF_TORCH_DTYPE: dict[str, FurtherPrecision] = {naming.TORCH_DTYPES[precision]: precision for precision in FURTHER}


def further_precisions(variant: str) -> tuple[FurtherPrecision, ...]:
    """What the variant's runtime can be told beside f32. ONNX Runtime computes in the types that the file has."""
    return () if naming.backend(variant) == "onnx" else FURTHER


def on_cuda(variant: str, file_class: str) -> tuple[InferencePrecision, ...]:
    """What a variant's file can be computed in on an NVIDIA GPU: nothing where its runtime leaves it to the processor.

    OpenVINO has no such device, and ONNX Runtime computes int8 products on the processor. A file of fp16 has no
    products in fp32 that TF32 would change.
    """
    match naming.backend(variant), file_class:
        case "torch", _:
            return ("f32", "tf32", *FURTHER)
        case "onnx", "fp32":
            return ("f32", "tf32")
        case "onnx", "fp16":
            return ("f32",)
    return ()


def is_tf32(provider_options: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether an ONNX Runtime session with these options computes products of fp32 in TF32."""
    return provider_options.get(naming.CUDA_PROVIDER, {}).get("use_tf32") == "1"


def way(variant: str, precision: InferencePrecision, device: Device = "cpu") -> str:
    """The name of a way to run a variant's file: `openvino_fp16`, `openvino_fp16 in bf16`, or `onnx_O4 on cuda`."""
    return variant + (f" in {precision}" if precision != "f32" else "") + (f" on {device}" if device != "cpu" else "")
