"""ONNX graphs with the head as one more output, and without it."""

import os
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.head import onnx_nodes
from foundry.head.reading import HeadOfModel, Unsupported
from foundry.variants import graph_files

FLOAT, INT64 = 1, 7  # of onnx.TensorProto
DOMAINS = ("", "ai.onnx")


def add(graph: Path, head: HeadOfModel) -> None:
    """Append a head to the graph in a file, and its output behind the graph's own. What is in a sidecar stays there.

    Raises:
        Unsupported: when the graph cannot have it.
    """
    from onnx import helper

    model = graph_files.load_structure(graph)
    outputs, inputs = ([value.name for value in values] for values in (model.graph.output, model.graph.input))
    if head.output in outputs:
        raise Unsupported(f"its graph has an output {head.output} of its own")
    nodes = onnx_nodes.Nodes(next(opset.version for opset in model.opset_import if opset.domain in DOMAINS))
    onnx_nodes.write(nodes, head, outputs[0])
    if onnx_nodes.MASK not in inputs and any(onnx_nodes.MASK in node.input for node in nodes.nodes):
        raise Unsupported(f"its graph takes no {onnx_nodes.MASK}")
    if model.ByteSize() + sum(tensor.ByteSize() for tensor in nodes.constants) > graph_files.LARGEST_GRAPH_BYTES:
        raise Unsupported("with it, the graph would be larger than one file can be")
    model.graph.node.extend(nodes.nodes)
    model.graph.initializer.extend(nodes.constants)
    model.graph.output.append(helper.make_tensor_value_info(head.output, FLOAT, head.shape))
    graph.write_bytes(model.SerializeToString())


def without_head(graph: Path, scratch: Path) -> Path:
    """The same graph as it was before its head was added, as a file of the same name below the folder `scratch`."""
    model = graph_files.load_structure(graph)
    remove_head(model)
    bare = scratch / "without_head" / graph.name
    bare.parent.mkdir()
    bare.write_bytes(model.SerializeToString())
    sidecar = graph_files.sidecar_path(graph)
    if sidecar.is_file():
        try:
            os.link(sidecar.resolve(), bare.parent / sidecar.name)
        except OSError:  # another disk, or one without hard links
            files.copy(sidecar, bare.parent / sidecar.name)
    return bare


def remove_head(model: Any) -> None:
    """Take the head off a model, which then has the bytes that it had before: all of the head stands at the end.

    Raises:
        FoundryError: when something else has the head's names.
    """
    added = {name for node in model.graph.node if node.name.startswith(onnx_nodes.PREFIX) for name in node.output}
    for values in (model.graph.node, model.graph.initializer, model.graph.output):
        kept = [value for value in values if not value.name.startswith(onnx_nodes.PREFIX) and value.name not in added]
        if list(values[: len(kept)]) != kept:
            raise FoundryError(f"the graph has nodes named {onnx_nodes.PREFIX}..., which are not its head")
        del values[len(kept) :]


def alone(head: HeadOfModel, rank: int, opset: int = 17, by_products: bool = True) -> bytes:
    """A head as a model of its own, whose inputs are `given` with `rank` dimensions and the mask."""
    from onnx import helper

    nodes = onnx_nodes.Nodes(opset, by_products)
    onnx_nodes.write(nodes, head, "given")
    inputs = [
        helper.make_tensor_value_info("given", FLOAT, [None] * rank),
        helper.make_tensor_value_info(onnx_nodes.MASK, INT64, [None, None]),
    ]
    output = helper.make_tensor_value_info(head.output, FLOAT, [None] * len(head.shape))
    graph = helper.make_graph(nodes.nodes, "head", inputs, [output], nodes.constants)
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    ).SerializeToString()
    return model
