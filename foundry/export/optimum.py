"""Optimum's exporters, one for each format."""

from pathlib import Path
from typing import Any

from foundry.export.torch_model import TASKS, Checkpoint
from foundry.variants import naming


def _common_arguments(checkpoint: Checkpoint, scratch: Path) -> dict[str, Any]:
    """What both of optimum's `main_export` functions take.

    Raises:
        ValueError: for a language model, of which optimum writes the logits of the whole vocabulary.
    """
    if checkpoint.scored_tokens:
        raise ValueError("it exports the logits of the whole vocabulary for each token")
    return {
        "model_name_or_path": str(checkpoint.transformer),
        "output": scratch,
        "task": TASKS[checkpoint.task][0],
        "library_name": "transformers",
        "local_files_only": True,
        "trust_remote_code": checkpoint.trusted,
    }


def by_optimum_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the ONNX graph into `scratch`; return its path."""
    from optimum.exporters.onnx import main_export

    main_export(
        **_common_arguments(checkpoint, scratch),
        do_validation=False,
        no_post_process=True,
        opset=checkpoint.opset,
    )
    return scratch / naming.file_name("onnx")


def by_optimum_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the OpenVINO graph into `scratch`; return its path."""
    from optimum.exporters.openvino import main_export

    main_export(
        **_common_arguments(checkpoint, scratch),
        stateful=False,
        convert_tokenizer=False,
    )
    return scratch / naming.file_name("openvino")
