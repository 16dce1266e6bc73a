"""The exporters of torch and OpenVINO: by tracing, and by torch.export."""

import tempfile
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.export import long_attention, torch_model
from foundry.export.torch_model import PER_TOKEN, TASKS, Checkpoint
from foundry.variants import graph_files, naming

# By torch.export, torch.onnx's default; by tracing, the newest that ONNX Runtime's fusions were written for.
OPSET, TRACED_OPSET = 18, 17


def _by_torch_onnx(checkpoint: Checkpoint, scratch: Path, dynamo: bool, attention: str = "eager") -> Path:
    import onnx
    import torch
    from onnxruntime.transformers.onnx_model import OnnxModel

    module, example = torch_model.traceable(checkpoint, attention)
    names, output = list(checkpoint.inputs), TASKS[checkpoint.task][2]
    target = scratch / naming.file_name("onnx")
    options: dict[str, Any]
    if dynamo:
        options = {"dynamic_shapes": (_any_shape(example),), "external_data": True, "verbose": False}
    else:
        axes = {0: "batch_size", 1: "sequence_length"}
        outputs = axes if checkpoint.task in PER_TOKEN else {0: "batch_size"}
        options = {"dynamic_axes": {**dict.fromkeys(names, axes), output: outputs}}
    opset = checkpoint.opset or (OPSET if dynamo else TRACED_OPSET)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        exported = Path(folder) / "exported.onnx"
        torch.onnx.export(
            module,
            example,
            exported,
            dynamo=dynamo,
            opset_version=opset,
            input_names=names,
            output_names=[output],
            **options,
        )
        # A large model's weights are in many files, or in one of another name.
        graph_files.save(OnnxModel(onnx.load(exported)), target)
    return target


def by_tracing_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the ONNX graph of a traced model into `scratch`; return its path."""
    return _by_torch_onnx(checkpoint, scratch, dynamo=False)


def by_blocks_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the ONNX graph of a traced model of long texts into `scratch`, with attention that goes by blocks; return
    its path.

    Raises:
        FoundryError: when the model's attention cannot.
    """
    counted = _long_attention(checkpoint, "onnx")
    graph = _by_torch_onnx(checkpoint, scratch, dynamo=False, attention=long_attention.NAME)
    _check_calls(counted)
    return graph


def by_torch_export_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the ONNX graph of a model by torch.export into `scratch`; return its path."""
    return _by_torch_onnx(checkpoint, scratch, dynamo=True)


def _any_shape(example: tuple[Any, ...]) -> tuple[dict[int, Any], ...]:
    """Any batch size and any length, for each of the example inputs."""
    import torch

    return tuple(dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for _ in example)


def _write_openvino(model: Any, checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write a converted model, for any batch size and length, with names for its inputs and output; return its path."""
    import openvino

    for node, name in zip(model.inputs, checkpoint.inputs, strict=True):
        node.get_tensor().set_names({name})
        node.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    model.outputs[0].get_tensor().set_names({TASKS[checkpoint.task][2]})
    model.validate_nodes_and_infer_types()
    target = scratch / naming.file_name("openvino")
    openvino.save_model(model, target, compress_to_fp16=False)
    return target


def by_tracing_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the OpenVINO graph of a traced model into `scratch`; return its path."""
    import openvino

    module, example = torch_model.traceable(checkpoint)
    return _write_openvino(openvino.convert_model(module, example_input=example), checkpoint, scratch)


def by_blocks_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the OpenVINO graph of a traced model of long texts into `scratch`, with attention that goes by blocks;
    return its path.

    Raises:
        FoundryError: when the model's attention cannot.
    """
    import openvino

    counted = _long_attention(checkpoint, "openvino")
    module, example = torch_model.traceable(checkpoint, long_attention.NAME)
    graph = _write_openvino(openvino.convert_model(module, example_input=example), checkpoint, scratch)
    _check_calls(counted)
    return graph


def by_torch_export_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write the OpenVINO graph of a model by torch.export into `scratch`; return its path."""
    import openvino
    import torch

    module, example = torch_model.traceable(checkpoint)
    program = torch.export.export(module, example, dynamic_shapes=(_any_shape(example),), strict=False)
    return _write_openvino(openvino.convert_model(program), checkpoint, scratch)


def _long_attention(checkpoint: Checkpoint, runtime: long_attention.Runtime) -> long_attention.Register:
    """Make transformers compute attention by blocks for a checkpoint.

    Raises:
        FoundryError: when its code is its own, which knows nothing of it.
    """
    if checkpoint.trusted:
        raise FoundryError("the checkpoint's own code computes attention in its own way")
    return long_attention.register(runtime)


def _check_calls(counted: long_attention.Register) -> None:
    """Check that the model computed attention by blocks.

    Raises:
        FoundryError: when it did not.
    """
    if not counted.calls:
        raise FoundryError("the architecture computes attention in its own way")
