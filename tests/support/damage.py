"""Damage to ONNX graphs: what a graph may do wrong while most inputs still get their embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from foundry.variants import variant_folder

Change = Callable[[Any], None]


def in_graph(folder: Path, variant: str, change: Change) -> None:
    """Change the ONNX graph of a variant in its folder."""
    path = variant_folder.weights_path(folder, variant)
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def table(model: Any, kind: str) -> Any:
    """The initializer with the rows of `word`, `position` or `token_type`."""
    return next(tensor for tensor in model.graph.initializer if f"{kind}_embeddings.weight" in tensor.name)


def in_rows(kind: str, change: Callable[[np.ndarray], None]) -> Change:
    """Change the rows of a table (rows, width) in place."""

    def do(model: Any) -> None:
        tensor = table(model, kind)
        rows = numpy_helper.to_array(tensor).copy()
        change(rows)
        tensor.CopyFrom(numpy_helper.from_array(rows, tensor.name))

    return do


def zeroed(*rows: Any) -> Callable[[np.ndarray], None]:
    """Zero these rows, given as indices or slices."""

    def change(table_rows: np.ndarray) -> None:
        for row in rows:
            table_rows[row] = 0

    return change


def swapped(first: int, second: int) -> Callable[[np.ndarray], None]:
    """Swap two rows."""

    def change(table_rows: np.ndarray) -> None:
        table_rows[[first, second]] = table_rows[[second, first]]

    return change


def _when(
    model: Any, broken: Callable[[str], list[Any]], tokens: tuple[int, int] | None, rows: tuple[int, int] | None
) -> None:
    """Give the value `broken` as the graph's first output where the input's shape is in these ranges, ends included;
    `broken` makes its nodes from the name of the right output."""
    graph, output = model.graph, model.graph.output[0].name
    for node in graph.node:
        node.output[:] = ["right" if name == output else name for name in node.output]
        node.input[:] = ["right" if name == output else name for name in node.input]
    nodes, conditions = broken("right"), []
    for axis, limits in enumerate((rows, tokens)):
        if limits is None:
            continue
        for name, value in (("low", limits[0]), ("high", limits[1])):
            graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"{name}_{axis}"))
        nodes += [
            helper.make_node("Shape", ["input_ids"], [f"size_{axis}"], start=axis, end=axis + 1),
            helper.make_node("GreaterOrEqual", [f"size_{axis}", f"low_{axis}"], [f"from_{axis}"]),
            helper.make_node("LessOrEqual", [f"size_{axis}", f"high_{axis}"], [f"to_{axis}"]),
            helper.make_node("And", [f"from_{axis}", f"to_{axis}"], [f"in_{axis}"]),
        ]
        conditions.append(f"in_{axis}")
    condition = conditions[0]
    if len(conditions) == 2:
        nodes.append(helper.make_node("And", conditions, ["in_both"]))
        condition = "in_both"
    graph.node.extend([*nodes, helper.make_node("Where", [condition, "broken", "right"], [output])])


def constant(tokens: tuple[int, int] | None = None, rows: tuple[int, int] | None = None) -> Change:
    """The same numbers for everything, for inputs of so many tokens in batches of so many rows."""

    def nodes(right: str) -> list[Any]:
        one = numpy_helper.from_array(np.array([0.1], np.float32))
        return [
            helper.make_node("Shape", [right], ["shape_of_output"]),
            helper.make_node("ConstantOfShape", ["shape_of_output"], ["broken"], value=one),
        ]

    return lambda model: _when(model, nodes, tokens, rows)


def rows_reversed(rows: tuple[int, int], tokens: tuple[int, int] | None = None) -> Change:
    """The rows of a batch in the wrong order."""

    def do(model: Any) -> None:
        ends = {"last": [-1], "before_first": [-(2**31)], "first_axis": [0], "backwards": [-1]}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ends.items()
        )
        _when(model, lambda right: [helper.make_node("Slice", [right, *ends], ["broken"])], tokens, rows)

    return do


def only_first_rows(count: int) -> Change:
    """Nothing for the rows of a batch beyond so many."""

    def do(model: Any) -> None:
        for name, value in {"count": count, "nothing": 0, "each": 1}.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
        # The output of an embedder has two more axes, that of a CrossEncoder one.
        others = np.arange(1, len(model.graph.output[0].type.tensor_type.shape.dim))
        model.graph.initializer.append(numpy_helper.from_array(others, "other_axes"))

        def nodes(right: str) -> list[Any]:
            return [
                helper.make_node("Shape", [right], ["rows_of_output"], start=0, end=1),
                helper.make_node("Squeeze", ["rows_of_output"], ["number_of_rows"]),
                helper.make_node("Range", ["nothing", "number_of_rows", "each"], ["numbers"]),
                helper.make_node("Less", ["numbers", "count"], ["is_first"]),
                helper.make_node("Cast", ["is_first"], ["factor"], to=TensorProto.FLOAT),
                helper.make_node("Unsqueeze", ["factor", "other_axes"], ["factors"]),
                helper.make_node("Mul", [right, "factors"], ["broken"]),
            ]

        _when(model, nodes, None, (count + 1, 10**6))

    return do


def columns_zeroed(start: int, columns: int) -> Change:
    """Nothing for the words of a SparseEncoder's vocabulary from one on."""

    def do(model: Any) -> None:
        factors = (np.arange(columns) < start).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(factors, "factors"))
        _when(model, lambda right: [helper.make_node("Mul", [right, "factors"], ["broken"])], (1, 10**6), None)

    return do


def ids_clipped(largest: int) -> Change:
    """The table is whole, but no id above the largest is looked up."""

    def do(model: Any) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(largest, np.int64), "largest_id"))
        for node in model.graph.node:
            node.input[:] = ["clipped_ids" if name == "input_ids" and node.op_type == "Gather" else name
                             for name in node.input]  # fmt: skip
        model.graph.node.insert(0, helper.make_node("Min", ["input_ids", "largest_id"], ["clipped_ids"]))

    return do
