"""Which precisions this machine computes in, and which one a loaded variant does.

OpenVINO takes a hint that its processor cannot follow without a word, and computes in f32: so the processor is asked
before a variant is loaded, and the compiled model afterwards. Nor does it say that it has no kernel for a precision,
and computes by its reference code, which takes hundreds of times as long.
"""

from typing import Any, cast

from foundry.loading import cuda
from foundry.loading.variant import LoadedVariant
from foundry.variants.precisions import OF_TORCH_DTYPE, FurtherPrecision, InferencePrecision, is_tf32

# By the name that OpenVINO's list of a processor's capabilities has for them.
CAPABILITIES: dict[str, FurtherPrecision] = {"BF16": "bf16", "FP16": "f16"}
# Products of matrices, by the names that OpenVINO has for them in what it compiled; and how the name of a kernel begins
# that is oneDNN's plain loops. Such are products of int8 that give f16, on processors with AVX512-FP16.
PRODUCTS, REFERENCE_CODE = ("FullyConnected", "MatMul"), "ref"
PROBE_TEXT = "This is embedded once, so that OpenVINO chooses a kernel for each of the products in the graph."


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


def why_not_computed(variant: LoadedVariant, precision: InferencePrecision) -> str | None:
    """Why a loaded variant does not compute in the precision that it was told to, or not as anyone would run it; None
    where it does."""
    if (actual := of_loaded(variant)) != precision:
        return f"told to compute in {precision}, the runtime computes in {actual}"
    model = variant.transformer.auto_model
    if precision == "f32" or not hasattr(model, "request"):
        return None
    variant.encode(variant.items([PROBE_TEXT], passages_per_query=1), 1)
    return why_too_slow(model.request, precision)


def why_too_slow(compiled: Any, precision: InferencePrecision) -> str | None:
    """Why an OpenVINO model that has run once computes too slowly in a precision to be of use; None where it does not.

    OpenVINO chooses kernels with the first input.
    """
    kernels = [
        str(facts["primitiveType"].value)
        for facts in (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
        if facts["layerType"].value in PRODUCTS
    ]
    slow = sum(kernel.startswith(REFERENCE_CODE) for kernel in kernels)
    if 2 * slow <= len(kernels):
        return None
    return (
        f"OpenVINO has no fast code here for {slow} of its {len(kernels)} products in {precision}, and takes hundreds "
        "of times as long by its reference code"
    )
