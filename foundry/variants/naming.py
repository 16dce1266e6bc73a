"""The names of variants, of their files, and what loads them."""

from typing import Any

# Without it OpenVINO computes in bf16 or fp16 where the processor has it, and a file gives other embeddings there.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def backend(variant: str) -> str:
    """Sentence Transformers' name of the backend that runs a variant: `torch`, `onnx` or `openvino`."""
    return variant.partition("_")[0]


def file_name(variant: str) -> str:
    """What Sentence Transformers takes as `model_kwargs={"file_name": ...}`: `model_O3.onnx`.

    Raises:
        ValueError: for a torch variant, which has no such name.
    """
    kind, _, suffix = variant.partition("_")
    stem = {"onnx": "model", "openvino": "openvino_model"}.get(kind)
    if stem is None:
        raise ValueError(f"variant {variant!r} is neither onnx nor openvino")
    return f"{stem}{'_' if suffix else ''}{suffix}{'.onnx' if kind == 'onnx' else '.xml'}"


def model_kwargs(variant: str) -> dict[str, Any]:
    """What Sentence Transformers takes as `model_kwargs` to load a variant and compute as it was validated."""
    match backend(variant):
        case "torch":
            return {}
        case "openvino":
            return {"file_name": file_name(variant), "ov_config": dict(EXACT)}
    return {"file_name": file_name(variant)}
