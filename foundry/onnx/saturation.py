"""Products in ONNX graphs that saturate on processors without VNNI, and a graph that computes them so on any processor.

What is examined is the graph that ONNX Runtime makes of a file when it opens it: products between QuantizeLinear and
DequantizeLinear, or after DynamicQuantizeLinear, are operators on integers there.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundry.int8.planning import SAFE_WEIGHT
from foundry.int8.saturation import Pairs, risky_pairs
from foundry.onnx import saturated_products
from foundry.onnx.graph_writer import GraphWriter
from foundry.variants import graph_files

# Operators on integers, and which of their inputs is the weight.
WEIGHTS = {"MatMulInteger": 1, "MatMulIntegerToFloat": 1, "DynamicQuantizeMatMul": 1, "QAttention": 1,
           "QLinearMatMul": 3, "QGemm": 3}  # fmt: skip
# Others, of which it is known whether they can saturate, and not how far.
OTHER_WEIGHTS = {"ConvInteger": 1, "QLinearConv": 3, "DynamicQuantizeLSTM": 1}
# Where operators that give integers have the zero point, whose type is theirs.
ZERO_POINTS = {"QuantizeLinear": 2, "QLinearMatMul": 7, "QGemm": 8}


@dataclass(frozen=True)
class IntegerProduct:
    """A product of unsigned tokens with a constant signed weight that can saturate for some tokens."""

    node: Any
    weight: np.ndarray  # (channels, outputs), int8

    @property
    def output(self) -> str:
        """The name of the tensor that it gives."""
        return str(self.node.output[0])

    @property
    def tokens(self) -> str:
        """The name of the quantized tensor; of operators that quantize inside, the name that it gets outside."""
        inside = self.node.op_type == "DynamicQuantizeMatMul"
        return f"{self.node.output[0]}_tokens" if inside else str(self.node.input[0])


class IntegerGraph:
    """A graph as ONNX Runtime runs it, and those of its products that can saturate for some tokens."""

    def __init__(self, graph: Path, scratch: Path) -> None:
        """`scratch` is a folder that has to stay there while this is used.

        Raises:
            FoundryError: when the file cannot be read.
        """
        self._model, self._folder = graph_files.load_without_weights(as_it_runs(graph, scratch), scratch)
        self._reader = GraphWriter(self._model, self._folder)
        self.product_count = 0  # of integers
        self.products: list[IntegerProduct] = []
        self.unknown: list[str] = []  # nodes of which it cannot be said whether they saturate
        for node in self._reader.nodes:
            self._examine(node)

    def _examine(self, node: Any) -> None:
        """Put a node among the products or the unknown ones if it can saturate."""
        self.unknown += [f"inside {node.name}" for inner in _inner_nodes(node) if inner.op_type in WEIGHTS]
        index = WEIGHTS.get(node.op_type, OTHER_WEIGHTS.get(node.op_type))
        if index is None:
            return
        self.product_count += 1
        name = node.input[index]
        if self._type(node.input[0]) == np.int8 or self._type(name) == np.uint8:
            return
        if not self._reader.is_constant(name):
            self.unknown.append(node.name)
            return
        weight = self._reader.array(name)
        if np.abs(weight.astype(np.int16)).max(initial=0) <= SAFE_WEIGHT:
            return
        is_known = node.op_type in WEIGHTS and weight.ndim == 2 and not _attribute(node, "transA")
        if not is_known or (node.op_type == "QAttention" and len(node.input) > 8 and node.input[8]):
            self.unknown.append(node.name)
            return
        matrix = weight.T if _attribute(node, "transB") else weight
        if len(risky_pairs(matrix)):
            self.products.append(IntegerProduct(node, matrix))

    def _type(self, tensor: str) -> Any:
        """The type of a quantized tensor; None where it cannot be told."""
        if self._reader.is_constant(tensor):
            return self._reader.array(tensor).dtype
        producer = self._reader.find_producer(tensor)
        if producer is None:
            return None
        if producer.op_type == "DynamicQuantizeLinear":
            return np.dtype(np.uint8)
        index = ZERO_POINTS.get(producer.op_type)
        if index is None:
            return None
        given = len(producer.input) > index and producer.input[index]
        return self._type(producer.input[index]) if given else np.dtype(np.uint8)

    def write(self, target: Path, pairs: Mapping[str, Pairs]) -> None:
        """Write the graph in which the sums of the given pairs, by the output of their product, are as they are in 16
        bits. It also gives the range of each product's tokens, by `range_names`."""
        from onnxruntime.transformers.onnx_model import OnnxModel

        writer = GraphWriter(self._model, self._folder)
        tokens: dict[str, int] = {}  # the number of channels of each
        for product in self.products:
            node = saturated_products.apart(writer, writer.current(product.node), product.tokens)
            if product.tokens not in tokens:
                tokens[product.tokens] = len(product.weight)
                saturated_products.add_range(writer, node, product.tokens, len(product.weight))
            if len(pairs.get(product.output, ())):
                saturated_products.saturate(writer, node, pairs[product.output])
        model = writer.finish()
        saturated_products.declare_ranges(model, tokens)
        target = target.absolute()
        with contextlib.chdir(self._folder):
            graph_files.save(OnnxModel(model), target)


def as_it_runs(graph: Path, scratch: Path) -> Path:
    """The graph that ONNX Runtime makes of a file when it opens it, written into the folder `scratch`.

    Raises:
        FoundryError: when the file cannot be read.
    """
    import onnxruntime

    target = scratch.absolute() / graph.name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Above this level there are layouts for convolutions, which fit one processor alone.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    for key, value in (
        ("session.optimized_model_external_initializers_file_name", graph_files.sidecar_path(target).name),
        ("session.optimized_model_external_initializers_min_size_in_bytes", "1024"),
        ("session.disable_prepacking", "1"),
    ):
        options.add_session_config_entry(key, value)
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return target


def saturates_here() -> bool:
    """Whether ONNX Runtime's sums saturate on this processor."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    # Sixteen outputs, because a narrower product takes another way.
    weight = numpy_helper.from_array(np.full((64, 16), 127, np.int8), "weight")
    tokens = helper.make_tensor_value_info("tokens", TensorProto.UINT8, [4, 64])
    sums = helper.make_tensor_value_info("sums", TensorProto.INT32, [4, 16])
    node = helper.make_node("MatMulInteger", ["tokens", "weight"], ["sums"])
    model = helper.make_model(
        helper.make_graph([node], "sums", [tokens], [sums], [weight]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [result] = session.run(None, {"tokens": np.full((4, 64), 255, np.uint8)})
    return bool((result != 64 * 255 * 127).any())


def _inner_nodes(node: Any) -> Iterator[Any]:
    """The nodes of a node's subgraphs, at any depth."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                yield inner
                yield from _inner_nodes(inner)


def _attribute(node: Any, name: str) -> int:
    """An integer attribute of a node; 0 where it is not given."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)
