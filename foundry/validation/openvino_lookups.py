"""The tables that an OpenVINO graph looks rows up in, as it holds them: read, and decompressed as the graph does it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from foundry.reference.tables import Read

DEQUANTIZING = {"Convert", "Multiply", "Subtract", "Divide"}
MOST_DEQUANTIZING = 4
CONSTANT_DEPTH = 8  # nodes between a constant and the table that is made of it


def find(model: Any, rows: set[int]) -> Iterator[tuple[int, Read]]:
    """Every lookup in a table with one of these numbers of rows: the number, and how its rows are read."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather":
            continue
        table = node.input_value(0)
        shape = table.get_partial_shape()
        if (
            shape.is_static
            and len(shape) == 2
            and shape[0].get_length() in rows
            and _is_constant(table, CONSTANT_DEPTH)
        ):
            yield shape[0].get_length(), _reader(node)


def _is_constant(output: Any, depth: int) -> bool:
    """Whether a value is made of constants alone."""
    node = output.get_node()
    if node.get_type_name() == "Constant":
        return True
    inputs = [item.get_source_output() for item in node.inputs()]
    return depth > 0 and bool(inputs) and all(_is_constant(item, depth - 1) for item in inputs)


def _reader(gather: Any) -> Read:
    """Rows by a lookup like this one, in the same table, and by it with what dequantizes after it."""
    requests: list[Any] = []

    def read(start: int, end: int) -> list[np.ndarray]:
        if not requests:
            requests.append(_compile(gather))
        results = requests[0].infer({0: np.arange(start, end)})
        return [np.array(results[place]) for place in range(len(results))]

    return read


def _compile(gather: Any) -> Any:
    """A request of the lookup alone, whose outputs are its rows, and what each node after it makes of them."""
    import openvino
    from openvino import opset13

    indices = opset13.parameter([-1], np.int64)
    rows = opset13.gather(gather.input_value(0), indices, opset13.constant(0, np.int64))
    outputs = [rows, *_dequantized(gather, rows, MOST_DEQUANTIZING)]
    results = [opset13.result(opset13.convert(output, np.float32)) for output in outputs]
    model = openvino.Model(results, [indices], "lookup")
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()


def _dequantized(node: Any, rows: Any, depth: int) -> Iterator[Any]:
    """What each node after `node` makes of `rows` that only dequantizes them, or multiplies all of them by a number."""
    from openvino import opset13

    for target in node.output(0).get_target_inputs():
        user = target.get_node()
        values = [item.get_source_output() for item in user.inputs()]
        others = [value for place, value in enumerate(values) if place != target.get_index()]
        if depth == 0 or user.get_type_name() not in DEQUANTIZING:
            continue
        if not all(_is_constant(value, CONSTANT_DEPTH) for value in others):
            continue
        if user.get_type_name() == "Convert":
            changed = opset13.convert(rows, user.get_element_type())
        else:
            inputs = [rows if place == target.get_index() else value for place, value in enumerate(values)]
            changed = getattr(opset13, user.get_type_name().lower())(*inputs)
        yield changed
        yield from _dequantized(user, changed, depth - 1)
