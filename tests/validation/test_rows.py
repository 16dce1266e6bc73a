"""The rows of hand-made graphs against torch's, where the graph multiplies or dequantizes them in a way of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from foundry.reference import tables
from foundry.reference.tables import Table
from foundry.validation import onnx_lookups, openvino_lookups, vocabulary

ROWS, WIDTH, SCALE = 50, 16, 4.0
WORDS = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
ALLOWED = 0.014  # of floating point
# What each graph does with its rows: the number that it multiplies by after the lookup, its shape, and other users.
Graph = tuple[float | None, tuple[int, ...], bool]
GRAPHS: dict[str, Graph] = {
    "looked up": (None, (), False),
    "multiplied": (SCALE, (), False),
    "multiplied by a number with three axes": (SCALE, (1, 1, 1), False),
    "multiplied and used elsewhere": (SCALE, (1, 1, 1), True),
}


def frozen(rows: np.ndarray, factors: tuple[float, ...]) -> Table:
    return Table(WIDTH, tables.project(rows), np.linalg.norm(rows, axis=1), factors)


def wrong_in_onnx(table: Table, words: np.ndarray, graph: Graph, folder: Path) -> int | None:
    number, shape, used_elsewhere = graph
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["rows"])]
    constants = [numpy_helper.from_array(words, "words")]
    outputs = ["rows"]
    if number is not None:
        constants.append(numpy_helper.from_array(np.full(shape, number, np.float32), "number"))
        nodes.append(helper.make_node("Mul", ["rows", "number"], ["scaled"]))
        outputs = ["scaled"]
    if used_elsewhere:
        nodes.append(helper.make_node("Relu", ["rows"], ["positive"]))
        outputs.append("positive")
    return _wrong_in_onnx(table, nodes, constants, outputs, folder)


def _wrong_in_onnx(
    table: Table, nodes: list[Any], constants: list[Any], outputs: list[str], folder: Path
) -> int | None:
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    lookups = list(onnx_lookups.find(folder / "model.onnx", {ROWS}))
    assert {rows for rows, _ in lookups} == {ROWS}
    counts = [vocabulary.wrong_rows(table, read, ALLOWED) for _, read in lookups]
    return min((count for count in counts if count is not None), default=None)


def wrong_in_openvino(table: Table, words: np.ndarray, graph: Graph, folder: Path) -> int | None:
    from openvino import opset13

    number, shape, used_elsewhere = graph
    ids = opset13.parameter([-1, -1], np.int64)
    rows = opset13.gather(opset13.constant(words), ids, opset13.constant(0, np.int64))
    outputs = [rows if number is None else opset13.multiply(rows, opset13.constant(np.full(shape, number, np.float32)))]
    if used_elsewhere:
        outputs.append(opset13.relu(rows))
    model = openvino.Model([opset13.result(output) for output in outputs], [ids], "model")
    [(count, read)] = openvino_lookups.find(model, {ROWS})
    assert count == ROWS
    return vocabulary.wrong_rows(table, read, ALLOWED)


FORMATS = {"onnx": wrong_in_onnx, "openvino": wrong_in_openvino}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("multiplied_in_the_table", [1.0, SCALE, 1 / SCALE])
@pytest.mark.parametrize("frozen_with", [(1.0, SCALE), (1.0,)])
def test_rows_may_be_multiplied_by_what_torch_multiplies_by(
    format_: str, graph: str, multiplied_in_the_table: float, frozen_with: tuple[float, ...], tmp_path: Path
) -> None:
    """Before the lookup, or after it; by no other number."""
    number = GRAPHS[graph][0]
    wrong = FORMATS[format_](
        frozen(WORDS, frozen_with), WORDS * np.float32(multiplied_in_the_table), GRAPHS[graph], tmp_path
    )
    right = multiplied_in_the_table in frozen_with or (number or 1.0) * multiplied_in_the_table in frozen_with
    assert wrong == (0 if right else ROWS)


def row(index: int, factor: float) -> Callable[[np.ndarray], None]:
    def change(rows: np.ndarray) -> None:
        rows[index] *= factor

    return change


def swap(rows: np.ndarray) -> None:
    rows[[7, 8]] = rows[[8, 7]]


DAMAGES: dict[str, tuple[Callable[[np.ndarray], None], int]] = {
    "a row zeroed": (row(7, 0), 1),
    "a row multiplied by the factor of the table": (row(7, SCALE), 1),
    "a row not a number": (row(7, np.nan), 1),
    "two rows swapped": (swap, 2),
    "all rows zeroed": (row(slice(None), 0), ROWS),  # type: ignore[arg-type]
    "all rows multiplied by another number": (row(slice(None), 1.1), ROWS),  # type: ignore[arg-type]
    "all rows turned round": (row(slice(None), -1.0), ROWS),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("multiplied_in_the_table", [1.0, SCALE])
@pytest.mark.parametrize("damage", DAMAGES)
def test_wrong_rows_are_counted_whatever_they_are_multiplied_by(
    format_: str, multiplied_in_the_table: float, damage: str, tmp_path: Path
) -> None:
    change, expected = DAMAGES[damage]
    rows = WORDS * np.float32(multiplied_in_the_table)
    change(rows)
    graph = GRAPHS["multiplied by a number with three axes"]
    assert FORMATS[format_](frozen(WORDS, (1.0, SCALE)), rows, graph, tmp_path) == expected


@pytest.mark.parametrize("wrong", [0, 1])
def test_rows_that_are_dequantized_after_their_layout_changed(wrong: int, tmp_path: Path) -> None:
    """As ONNX Runtime's dynamic quantization leaves T5's table of the distances between tokens."""
    scale = np.float32(np.abs(WORDS).max() / 127)
    words = np.round(WORDS / scale + 128).clip(0, 255).astype(np.uint8)
    table = frozen((words.astype(np.float32) - 128) * scale, (1.0,))
    words[:wrong] = 128
    constants = [
        numpy_helper.from_array(words, "words"),
        numpy_helper.from_array(scale, "scale"),
        numpy_helper.from_array(np.array(128, np.uint8), "zero_point"),
        numpy_helper.from_array(np.array([0], np.int64), "axes"),
    ]
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["turned"], perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["turned", "axes"], ["bias"]),
        helper.make_node("DequantizeLinear", ["bias", "scale", "zero_point"], ["dequantized"]),
    ]
    assert _wrong_in_onnx(table, nodes, constants, ["dequantized"], tmp_path) == wrong


@pytest.mark.parametrize("wrong", [0, 1])
def test_rows_with_a_scale_each(wrong: int, tmp_path: Path) -> None:
    """As int8 embeddings are looked up: the scale by the same number as the row."""
    scales = (np.abs(WORDS).max(axis=1, keepdims=True) / 127).astype(np.float32)
    words = np.round(WORDS / scales).astype(np.int8)
    table = frozen(words * scales, (1.0,))
    words[:wrong] = 0
    constants = [numpy_helper.from_array(words, "words"), numpy_helper.from_array(scales, "scales")]
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["scales", "input_ids"], ["scale"]),
        helper.make_node("Mul", ["numbers", "scale"], ["dequantized"]),
    ]
    assert _wrong_in_onnx(table, nodes, constants, ["dequantized"], tmp_path) == wrong
