"""Which precisions this machine computes in, and which one a loaded variant does.

OpenVINO takes a hint that its processor cannot follow without a word, and computes in f32: so the processor is asked
before a variant is loaded, and the compiled model afterwards.
"""

from typing import cast

from foundry.loading import cuda
from foundry.loading.variant import LoadedVariant
from foundry.variants.precisions import OF_TORCH_DTYPE, FurtherPrecision, InferencePrecision, is_tf32

# By the name that OpenVINO's list of a processor's capabilities has for them.
CAPABILITIES: dict[str, FurtherPrecision] = {"BF16": "bf16", "FP16": "f16"}


def of_processor() -> list[FurtherPrecision]:
    """The precisions beside f32 that this processor has instructions for.

    torch computes in them on any processor, but without such instructions converts every number twice.
    """
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for name, precision in CAPABILITIES.items() if name in capabilities]


def of_loaded(variant: LoadedVariant) -> InferencePrecision:
    """What a loaded variant computes in, as its runtime says."""
    model = variant.transformer.auto_model
    if hasattr(model, "request"):  # OpenVINO's
        model.compile()
        hint = model.request.get_property("INFERENCE_PRECISION_HINT")
        return cast(InferencePrecision, hint.get_type_name())
    if hasattr(model, "session"):  # ONNX Runtime's, which computes in the types of the file
        return "tf32" if is_tf32(model.session.get_provider_options()) else "f32"
    dtype = str(getattr(model, "dtype", "float32")).removeprefix("torch.")
    return OF_TORCH_DTYPE.get(dtype) or cuda.torch_precision(model)
