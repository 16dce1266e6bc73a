"""The precision that a variant's file is computed in: f32 everywhere, and another one where the runtime can be told.

A way to run a file is the variant and this precision. It has its own verdict: see `foundry.validation.precision`.
"""

from typing import Literal, get_args

from foundry.variants import naming

FurtherPrecision = Literal["bf16", "f16"]
InferencePrecision = Literal["f32", "bf16", "f16"]
FURTHER: tuple[FurtherPrecision, ...] = get_args(FurtherPrecision)
OF_TORCH_DTYPE: dict[str, FurtherPrecision] = {naming.TORCH_DTYPES[precision]: precision for precision in FURTHER}


def further_precisions(variant: str) -> tuple[FurtherPrecision, ...]:
    """What the variant's runtime can be told beside f32. ONNX Runtime computes in the types that the file has."""
    return () if naming.backend(variant) == "onnx" else FURTHER


def way(variant: str, precision: InferencePrecision) -> str:
    """The name of a way to run a variant's file: `openvino_fp16`, or `openvino_fp16 in bf16`."""
    return variant if precision == "f32" else f"{variant} in {precision}"
