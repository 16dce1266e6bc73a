"""The tables that an ONNX graph looks rows up in, as it holds them: read, and dequantized as the graph does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foundry.reference.tables import Read
from foundry.variants import graph_files

LOOKUPS = {"Gather", "GatherBlockQuantized"}
FUSED_LOOKUPS = {"EmbedLayerNormalization": (2, 3, 4)}  # which inputs are its tables
DEQUANTIZING = {"DequantizeLinear", "Cast", "Mul", "Sub", "Div"}  # What may stand between a lookup and its embedding.
MOST_DEQUANTIZING = 4
LAYOUT = {"Transpose", "Reshape", "Squeeze", "Unsqueeze"}


def find(path: Path, rows: set[int]) -> Iterator[tuple[int, Read]]:
    """Every lookup that the graph's outputs depend on, in a table with one of these numbers of rows: the number, and
    how its rows are read."""
    model = graph_files.load_structure(path)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    producers = {name: node for node in graph.node for name in node.output if node.op_type != "Constant"}
    for node in needed(graph, producers):
        if node.op_type in FUSED_LOOKUPS:
            tables = [node.input[place] for place in FUSED_LOOKUPS[node.op_type] if place < len(node.input)]
            for table in tables:
                if table in constants and constants[table].dims[0] in rows:
                    yield constants[table].dims[0], _array_reader(path, constants[table])
        elif node.op_type in LOOKUPS and not any(item.name == "axis" and item.i for item in node.attribute):
            above = ancestors([node.input[0]], producers, {node.input[1]})
            held = [constants[name] for name in above.inputs if name in constants]
            count = max((tensor.dims[0] for tensor in held if len(tensor.dims) > 1), default=0)
            if count in rows and len(held) == len(above.inputs):
                yield count, _reader(path, model, node, producers, constants)


def needed(graph: Any, producers: dict[str, Any]) -> list[Any]:
    """The nodes that the outputs of a graph depend on: the runtime drops all others."""
    names = set(ancestors([item.name for item in graph.output], producers, set()).nodes)
    return [node for node in graph.node if node.output and node.output[0] in names]


class Ancestors:
    """What some values depend on: nodes, by the name of their first output, and values that no node makes."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        self.inputs: set[str] = set()


def ancestors(names: list[str], producers: dict[str, Any], cut: set[str]) -> Ancestors:
    """All that these values depend on; what is named in `cut` counts as a value that no node makes."""
    result = Ancestors()
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        node = producers.get(name)
        if node is None or name in cut:
            result.inputs.add(name)
            continue
        result.nodes[node.output[0]] = node
        waiting += node.input
        for attribute in node.attribute:  # what a branch or a loop takes from the graph around it
            for inner in attribute.g.node:
                waiting += inner.input
    return result


def _array_reader(path: Path, tensor: Any) -> Read:
    """Rows of a constant."""
    from onnx import numpy_helper

    table: list[np.ndarray] = []

    def read(start: int, end: int) -> list[np.ndarray]:
        if not table:
            _load(path, tensor)
            table.append(numpy_helper.to_array(tensor))
        return [np.asarray(table[0][start:end], np.float32)]

    return read


def _load(path: Path, tensor: Any) -> None:
    """Bring the values of a tensor into it, where they are in a sidecar."""
    import contextlib

    if graph_files.is_external(tensor):
        with contextlib.chdir(path.parent):
            graph_files.store_inside(tensor, graph_files.read_values(tensor))


def _reader(path: Path, model: Any, node: Any, producers: dict[str, Any], constants: dict[str, Any]) -> Read:
    """Rows by the lookup itself, and by it with what dequantizes after it, run by ONNX Runtime."""
    outputs, nodes = _outputs(node, model.graph, producers, constants), list(model.graph.node)
    if (dequantizing := _later_dequantizing(node, nodes, constants)) is not None:
        nodes.append(dequantizing)
        outputs.append(dequantizing.output[0])
        producers = producers | {dequantizing.output[0]: dequantizing}
    if node.input[0] in constants and len(outputs) == 1 and node.op_type == "Gather":
        return _array_reader(path, constants[node.input[0]])
    sessions: list[Any] = []

    def read(start: int, end: int) -> list[np.ndarray]:
        if not sessions:
            sessions.append(_session(path, model, nodes, node.input[1], outputs, producers, constants))
        indices = np.arange(start, end)
        [given] = sessions[0].get_inputs()
        kind = np.int32 if "int32" in given.type else np.int64
        rows: list[np.ndarray] = sessions[0].run(None, {given.name: indices.astype(kind)})
        return rows

    return read


def _outputs(node: Any, graph: Any, producers: dict[str, Any], constants: dict[str, Any]) -> list[str]:
    """The lookup's output, and those of all nodes after it that only dequantize or multiply it: by constants, or by
    what is looked up for the same rows, as a scale for each row is."""
    outputs, last, index = [node.output[0]], {node.output[0]}, node.input[1]
    for _ in range(MOST_DEQUANTIZING):
        users = [other for other in graph.node if other.op_type in DEQUANTIZING and last & set(other.input)]
        last = {
            other.output[0]
            for other in users
            if ancestors([name for name in other.input if name not in last], producers, {index}).inputs
            <= {*constants, index}
        }
        outputs += sorted(last)
    return outputs


def _later_dequantizing(node: Any, nodes: list[Any], constants: dict[str, Any]) -> Any | None:
    """A node that dequantizes the rows of a lookup with the numbers by which the graph does it after it changed their
    layout, as in T5's table of the distances between tokens; None where it does no such thing."""
    from onnx import helper

    name, changes = node.output[0], 0
    while users := [other for other in nodes if name in other.input]:
        numbers = users[0].input[1:]
        if changes and users[0].op_type == "DequantizeLinear":
            if all(item in constants and np.prod(constants[item].dims) == 1 for item in numbers):
                return helper.make_node(
                    "DequantizeLinear", [node.output[0], *numbers], [f"{node.output[0]}_dequantized"]
                )
            return None
        if users[0].op_type not in LAYOUT:
            return None
        name, changes = users[0].output[0], changes + 1
    return None


def _session(
    path: Path,
    model: Any,
    all_nodes: list[Any],
    index: str,
    outputs: list[str],
    producers: dict[str, Any],
    constants: dict[str, Any],
) -> Any:
    """A session of the part of a graph from the value with the indices to these outputs, in fp32."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    above = ancestors(outputs, producers, {index})
    held = [type(constants[name]).FromString(constants[name].SerializeToString()) for name in above.inputs - {index}]
    for tensor, name in zip(held, above.inputs - {index}, strict=True):
        tensor.name = name  # that of a constant's node may be empty
        _load(path, tensor)
    nodes = [node for node in all_nodes if node.output and node.output[0] in above.nodes]
    casts = [helper.make_node("Cast", [name], [f"{name}_fp32"], to=TensorProto.FLOAT) for name in outputs]
    part = helper.make_graph(
        [*nodes, *casts],
        "lookup",
        [helper.make_tensor_value_info(index, _index_type(index, model.graph, producers), ["rows"])],
        [helper.make_tensor_value_info(f"{name}_fp32", TensorProto.FLOAT, None) for name in outputs],
        held,
    )
    whole = helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # or it dequantizes the whole table
    options.log_severity_level = 4
    return ort.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _index_type(index: str, graph: Any, producers: dict[str, Any]) -> int:
    """The type of the indices: what the graph's input or the cast before says; else int64."""
    from onnx import TensorProto

    given = next((item for item in graph.input if item.name == index), None)
    node = producers.get(index)
    kind = TensorProto.INT64
    if given is not None:
        kind = given.type.tensor_type.elem_type
    elif node is not None and node.op_type == "Cast":
        kind = next(item.i for item in node.attribute if item.name == "to")
    return int(kind)
