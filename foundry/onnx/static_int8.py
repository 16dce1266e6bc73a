"""ONNX graphs in static int8: the products of `int8`, on integers in ONNX Runtime.

Each product becomes one MatMulIntegerToFloat node, the operator that ONNX Runtime would itself make of a quantized and
dequantized pair, and takes over the bias that the fusions had put into the node behind it.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foundry.int8 import calibration
from foundry.int8.planning import SMALLEST_TABLE, Plan, Product, quantize_rows
from foundry.int8.search import EvaluationData
from foundry.int8.settings import Calibrate
from foundry.onnx import graph_files, optimization
from foundry.onnx.settings import Fusions, Optimize
from foundry.variants import checkpoint_folder, variant_folder

# Attention whose products with weights stand outside, so that they can be quantized.
BASE = Optimize(level="O3", fusions=Fusions(multi_head_attention=True))
PLAIN_BASE = Optimize(level="O1")

# Where the fusions put the bias of the product that is their first input, and what they are called without one.
BIAS_INPUT = {"BiasGelu": (1, "Gelu"), "FastGelu": (1, "FastGelu"), "SkipLayerNormalization": (4, None)}


class OnnxGraph:
    """A fused ONNX model, hollow, the folder that holds its weights, and its products."""

    def __init__(self, model: Any, folder: Path, int8_embeddings: bool) -> None:
        from onnx import numpy_helper

        self._model, self._folder, self._int8_embeddings = model, folder, int8_embeddings
        self._constants = {one.name: one for one in model.graph.initializer}
        self._array = lambda name: numpy_helper.to_array(self._constants[name], str(folder))
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._consumers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    @classmethod
    def read(cls, graph: Path, scratch: Path, config: dict[str, Any], int8_embeddings: bool = True) -> "OnnxGraph":
        """The exported graph, fused as far as ONNX Runtime knows the architecture; its weights stay in the folder
        `scratch` for as long as it is used.

        Raises:
            FoundryError: when the file cannot be read.
        """
        row = PLAIN_BASE if optimization.unsupported(config, BASE) else BASE
        fused = scratch / graph.name
        optimization.optimize(graph, fused, config, row)
        return cls(*graph_files.hollowed(fused, scratch), int8_embeddings)

    @property
    def input_names(self) -> set[str]:
        return {one.name for one in self._model.graph.input}

    def products(self) -> list[Product]:
        """Every product of a tensor with a constant matrix, in running order."""
        return [
            Product(
                node.name,
                node.input[0],
                partial(self._weight, node.input[1]),
                int(np.prod(self._constants[node.input[1]].dims)),
                self._copyable(node),
            )
            for node in self._model.graph.node
            if self._is_product(node)
        ]

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""
        import onnxruntime
        from onnx import TensorProto, helper

        watched = type(self._model)()
        watched.CopyFrom(self._model)
        watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sources)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Packed weights and a store of free memory would each be as large as the model again.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_cpu_mem_arena = False
        path = self._folder / "watched.onnx"
        path.write_bytes(watched.SerializeToString())
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for one in inputs:
            values = session.run(sources, one)
            yield {source: value.reshape(-1, value.shape[-1]) for source, value in zip(sources, values, strict=True)}

    def write(self, target: Path, plan: Plan) -> None:
        """Write the graph with the plan's products in int8."""
        from onnx import helper
        from onnxruntime.transformers.onnx_model import OnnxModel

        writer = _Writer(self._model, self._folder)
        chosen = [node for node in writer.nodes if self._is_product(node) and node.name in plan.weights]
        copied: dict[str, np.ndarray] = {}  # by the product that gives its outputs several times
        for node in chosen:
            how = plan.inputs[node.input[0]]
            if how.copies.max() > 1:
                activation = writer.producer(node.input[0])
                before = writer.producer(activation.input[0])
                copied[before.name] = how.indices
                writer.set_input(activation, 1, self._array(activation.input[1])[how.indices])
                if before.name not in plan.weights:
                    writer.set_input(before, 1, self._array(before.input[1])[:, how.indices])
        quantized: set[str] = set()
        for node in chosen:
            source, how, weight = node.input[0], plan.inputs[node.input[0]], plan.weights[node.name]
            if node.name in copied:
                weight = weight.copied(copied[node.name])
            if source not in quantized:
                quantized.add(source)
                smooth = writer.constant(f"{source}_smooth", (1 / how.smooth).astype(np.float32))
                writer.constant(f"{source}_scale", np.float32(how.scale))
                writer.constant(f"{source}_zero_point", np.uint8(how.zero_point))
                writer.before(
                    node,
                    helper.make_node("Mul", [source, smooth], [f"{source}_smoothed"], f"{node.name}/smooth"),
                    helper.make_node(
                        "QuantizeLinear",
                        [f"{source}_smoothed", f"{source}_scale", f"{source}_zero_point"],
                        [f"{source}_quantized"],
                        f"{node.name}/quantize",
                    ),
                )
            bias = weight.correction + self._take_over_bias(writer, node)
            inputs = [
                f"{source}_quantized",
                writer.constant(f"{node.name}_weight", np.ascontiguousarray(weight.integers.T)),
                f"{source}_scale",
                writer.constant(f"{node.name}_weight_scale", weight.scales),
                f"{source}_zero_point",
                writer.constant(f"{node.name}_weight_zero_point", np.zeros(len(weight.scales), np.int8)),
                writer.constant(f"{node.name}_bias", bias.astype(np.float32)),
            ]
            writer.replace(
                node,
                helper.make_node("MatMulIntegerToFloat", inputs, list(node.output), node.name, domain="com.microsoft"),
            )
        if self._int8_embeddings:
            self._quantize_tables(writer)
        target = target.absolute()
        with contextlib.chdir(self._folder):
            graph_files.save(OnnxModel(writer.finish()), target)

    def _weight(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self._array(name).T)

    def _is_product(self, node: Any) -> bool:
        return node.op_type == "MatMul" and node.input[1] in self._constants and self._rank(node.input[1]) == 2

    def _rank(self, name: str) -> int:
        return len(self._constants[name].dims)

    def _copyable(self, node: Any) -> bool:
        """Whether the input is a fused activation with the bias of another product, and is used once: then both can
        give a channel several times.
        """
        activation = self._producers.get(node.input[0])
        if activation is None or activation.op_type not in ("BiasGelu", "FastGelu") or len(activation.input) < 2:
            return False
        before = self._producers.get(activation.input[0])
        once = all(len(self._consumers[name]) == 1 for name in (node.input[0], activation.input[0]))
        return once and before is not None and self._is_product(before) and activation.input[1] in self._constants

    def _take_over_bias(self, writer: "_Writer", node: Any) -> np.ndarray | float:
        """Remove the constant bias from the fused node behind a product, which runs faster without; give the bias."""
        consumers = self._consumers.get(node.output[0], [])
        consumer = writer.current(consumers[0]) if len(consumers) == 1 else None
        place, without = BIAS_INPUT.get(consumer.op_type, (None, None)) if consumer is not None else (None, None)
        if place is None or consumer is None or len(consumer.input) <= place:
            return 0.0
        if consumer.input[0] != node.output[0] or not writer.is_constant(consumer.input[place]):
            return 0.0
        bias = writer.array(consumer.input[place])
        del consumer.input[place]
        if without is not None:
            consumer.op_type = without
        return bias

    def _quantize_tables(self, writer: "_Writer") -> None:
        """Store large tables of embeddings in int8, with a scale for each row."""
        from onnx import TensorProto, helper

        for node in list(writer.nodes):
            is_table = node.op_type == "Gather" and node.input[0] in self._constants and self._rank(node.input[0]) == 2
            if not is_table or np.prod(self._constants[node.input[0]].dims) < SMALLEST_TABLE:
                continue
            name, output = node.input[0], node.output[0]
            integers, scales = quantize_rows(self._array(name))
            rows, scale = f"{output}_int8", f"{output}_scale"
            writer.before(
                node,
                helper.make_node(
                    "Gather", [writer.constant(f"{name}_int8", integers), node.input[1]], [rows], f"{node.name}/int8"
                ),
                helper.make_node(
                    "Gather",
                    [writer.constant(f"{name}_scale", scales[:, None]), node.input[1]],
                    [scale],
                    f"{node.name}/scale",
                ),
                helper.make_node("Cast", [rows], [f"{rows}_float"], f"{node.name}/cast", to=TensorProto.FLOAT),
            )
            writer.replace(node, helper.make_node("Mul", [f"{rows}_float", scale], [output], node.name))


class _Writer:
    """A copy of a model whose nodes are replaced in place, and whose unused constants are dropped at the end."""

    def __init__(self, model: Any, folder: Path) -> None:
        from onnx import numpy_helper

        self._numpy, self._folder = numpy_helper, folder
        self._model = type(model)()
        self._model.CopyFrom(model)
        self._constants = {one.name: one for one in self._model.graph.initializer}
        self.nodes: list[Any] = list(self._model.graph.node)
        self._by_output = {name: node for node in self.nodes for name in node.output}

    def producer(self, tensor: str) -> Any:
        return self._by_output[tensor]

    def current(self, node: Any) -> Any:
        """The copy's own node for one of the model's."""
        return self._by_output[node.output[0]]

    def is_constant(self, tensor: str) -> bool:
        return tensor in self._constants

    def array(self, tensor: str) -> np.ndarray:
        values: np.ndarray = self._numpy.to_array(self._constants[tensor], str(self._folder))
        return values

    def constant(self, name: str, values: Any) -> str:
        self._constants[name] = self._numpy.from_array(np.asarray(values), name)
        return name

    def set_input(self, node: Any, place: int, values: np.ndarray) -> None:
        node.input[place] = self.constant(f"{node.input[place]}_copied", np.ascontiguousarray(values))

    def before(self, node: Any, *added: Any) -> None:
        index = next(index for index, one in enumerate(self.nodes) if one is node)
        self.nodes[index:index] = added

    def replace(self, node: Any, other: Any) -> None:
        index = next(index for index, one in enumerate(self.nodes) if one is node)
        self.nodes[index] = other
        self._by_output[other.output[0]] = other

    def finish(self) -> Any:
        from onnx import helper

        graph = self._model.graph
        nodes = [type(node).FromString(node.SerializeToString()) for node in self.nodes]
        used = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
        kept = [type(one).FromString(one.SerializeToString()) for name, one in self._constants.items() if name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(kept)
        if not any(one.domain == "com.microsoft" for one in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        return self._model


def build(
    variant: str, onnx: Path, row: Calibrate, calibration_texts: Path, evaluation: EvaluationData, out: Path
) -> None:
    """Make the variant's folder `out` from the exported graph in `onnx`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        exported = variant_folder.weights_path(onnx, "onnx")
        graph = OnnxGraph.read(exported, Path(scratch), checkpoint_folder.config(onnx), row.int8_embeddings)
        calibration.calibrate(variant, graph, onnx, calibration_texts, evaluation, row, out)
