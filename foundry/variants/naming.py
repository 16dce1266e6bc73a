"""What a variant's name says: its backend, its file, and the options that it is loaded with."""

from typing import Any

# Without this hint OpenVINO computes in bf16 or fp16 on processors that have it, and gives other embeddings there.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


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


def model_kwargs(variant: str) -> dict[str, Any]:
    """Sentence Transformers' `model_kwargs` to load a variant in the precision that it is validated in."""
    match backend(variant):
        case "torch":
            return {}
        case "openvino":
            return {"file_name": file_name(variant), "ov_config": dict(EXACT)}
    return {"file_name": file_name(variant)}
