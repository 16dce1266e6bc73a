"""What a variant's name says: its backend, its file, and the options that it is loaded with."""

from typing import Any

# What torch calls the precisions that OpenVINO calls bf16 and f16.
TORCH_DTYPES = {"bf16": "bfloat16", "f16": "float16"}


def ov_config(precision: str = "f32") -> dict[str, str]:
    """What OpenVINO is told to compute in: `f32`, `bf16` or `f16`.

    Untold, it computes in bf16 or fp16 on processors that have it, and gives other embeddings there.
    """
    return {"INFERENCE_PRECISION_HINT": precision}


# What OpenVINO is told where embeddings must be the same on every processor.
EXACT = ov_config("f32")

CUDA_PROVIDER = "CUDAExecutionProvider"  # ONNX Runtime's name of what runs a graph on an NVIDIA GPU

# On an x86 processor without VNNI, ONNX Runtime then computes sums of int8 products exactly, and slower; on any other
# processor this option of a session changes nothing.
EXACT_SUMS = ("session.x64quantprecision", "1")


def backend(variant: str) -> str:
    """Sentence Transformers' name of the backend that runs a variant: `torch`, `onnx` or `openvino`."""
    return variant.partition("_")[0]


def file_name(variant: str) -> str:
    """The name of a variant's graph, such as `model_O3.onnx`: Sentence Transformers' `model_kwargs["file_name"]`.

    Raises:
        ValueError: for a torch variant, which has no such name.
    """
    kind, _, suffix = variant.partition("_")
    stem = {"onnx": "model", "openvino": "openvino_model"}.get(kind)
    if stem is None:
        raise ValueError(f"variant {variant!r} is neither onnx nor openvino")
    return f"{stem}{'_' if suffix else ''}{suffix}{'.onnx' if kind == 'onnx' else '.xml'}"


def openvino_head_name(graph: str, output: str) -> str:
    """The name of the graph with the output `output` that stands beside an OpenVINO graph and shares its weights."""
    return f"{graph.removesuffix('.xml')}.{output}.xml"


def model_kwargs(variant: str, precision: str = "f32", device: str = "cpu") -> dict[str, Any]:
    """Sentence Transformers' `model_kwargs` to load a variant and compute in `f32`, `bf16` or `f16`; on a GPU also in
    `tf32`, which torch is told by `torch.set_float32_matmul_precision` instead.

    Raises:
        ValueError: for an ONNX variant in anything but f32 and tf32: nothing tells ONNX Runtime what to compute in.
    """
    match backend(variant), device:
        case "torch", _:
            return {} if precision in ("f32", "tf32") else {"dtype": TORCH_DTYPES[precision]}
        case "onnx", "cuda" if precision in ("f32", "tf32"):
            # ONNX Runtime computes in TF32 unless it is told not to.
            options = {"use_tf32": str(int(precision == "tf32"))}
            return {"file_name": file_name(variant), "provider": CUDA_PROVIDER, "provider_options": options}
        case "openvino", "cpu":
            return {"file_name": file_name(variant), "ov_config": ov_config(precision)}
    if precision != "f32" or device != "cpu":
        raise ValueError(f"{variant} computes in the types of its file, not in {precision}, on {device}")
    return {"file_name": file_name(variant)}
