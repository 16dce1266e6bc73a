"""Static int8 for ONNX: the plan of `foundry.int8`, written into a graph for ONNX Runtime.

Each matrix product becomes one MatMulIntegerToFloat node, the operator into which ONNX Runtime itself fuses a product
between QuantizeLinear and DequantizeLinear. The node also takes the bias, which ONNX Runtime's fusions had put into the
node after the product.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foundry.head import onnx_graph
from foundry.int8 import calibration
from foundry.int8.planning import InputPlan, Plan, Product, QuantizedWeight
from foundry.int8.search import EvaluationData
from foundry.int8.settings import Calibrate
from foundry.onnx import optimization, tables
from foundry.onnx.graph_writer import GraphWriter
from foundry.onnx.settings import Fusions, Optimize
from foundry.variants import checkpoint_folder, graph_files, variant_folder

# MultiHeadAttention leaves the products with weights as nodes of their own, so that they can be quantized.
BASE = Optimize(level="O3", fusions=Fusions(multi_head_attention=True))
PLAIN_BASE = Optimize(level="O1")

# Fused nodes that add the bias of the product before them: which input it is, and the operator without a bias.
BIAS_INPUTS = {
    "BiasGelu": (1, "Gelu"),
    "FastGelu": (1, "FastGelu"),
    "SkipLayerNormalization": (4, "SkipLayerNormalization"),
}


class OnnxGraph:
    """A fused ONNX model without its weights, the folder with the sidecar that holds them, and its matrix products."""

    def __init__(self, model: Any, folder: Path, int8_embeddings: bool) -> None:
        from onnx import numpy_helper

        self._model, self._folder, self._int8_embeddings = model, folder, int8_embeddings
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._array = lambda name: numpy_helper.to_array(self._constants[name], str(folder))
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._consumers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    @classmethod
    def read(cls, graph: Path, scratch: Path, config: dict[str, Any], int8_embeddings: bool = True) -> "OnnxGraph":
        """The exported graph, with fusions if ONNX Runtime has any for the architecture. Its weights are in the folder
        `scratch`, which has to stay there while the graph is used.

        Raises:
            FoundryError: when the file cannot be read.
        """
        row = PLAIN_BASE if optimization.unsupported(config, BASE) else BASE
        fused = scratch / graph.name
        optimization.optimize(graph, fused, config, row)
        return cls(*graph_files.load_without_weights(fused, scratch), int8_embeddings)

    @property
    def input_names(self) -> set[str]:
        """The names of the graph's inputs."""
        return {value.name for value in self._model.graph.input}

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

    def score_sources(self) -> list[str]:
        """None: attention is one operator in floating point."""
        return []

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""
        import onnxruntime
        from onnx import TensorProto, helper

        watched = type(self._model)()
        watched.CopyFrom(self._model)
        watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sources)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Prepacked weights, and the arena of freed memory, would each take as much memory as the model.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_cpu_mem_arena = False
        path = self._folder / "watched.onnx"
        path.write_bytes(watched.SerializeToString())
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for text_inputs in inputs:
            values = session.run(sources, text_inputs)
            yield {source: value.reshape(-1, value.shape[-1]) for source, value in zip(sources, values, strict=True)}

    def write(self, target: Path, plan: Plan) -> None:
        """Write the graph with the plan's products in int8."""
        from onnxruntime.transformers.onnx_model import OnnxModel

        writer = GraphWriter(self._model, self._folder)
        products = [node for node in writer.nodes if self._is_product(node) and node.name in plan.weights]
        copied: dict[str, np.ndarray] = {}  # by the product that gives its outputs several times
        for node in products:
            if plan.inputs[node.input[0]].copies.max() > 1:
                before, indices = self._copy_channels(writer, node, plan)
                copied[before] = indices
        quantized_sources: set[str] = set()
        for node in products:
            weight = plan.weights[node.name]
            if node.name in copied:
                weight = weight.copied(copied[node.name])
            if node.input[0] not in quantized_sources:
                quantized_sources.add(node.input[0])
                self._quantize_input(writer, node, plan.inputs[node.input[0]])
            self._replace_product(writer, node, weight)
        if self._int8_embeddings:
            tables.quantize_tables(writer)
        target = target.absolute()
        with contextlib.chdir(self._folder):
            graph_files.save(OnnxModel(writer.finish()), target)

    def _copy_channels(self, writer: GraphWriter, node: Any, plan: Plan) -> tuple[str, np.ndarray]:
        """Make the product and activation before a product give some channels several times; return the name of that
        earlier product, and for each channel after copying the channel that it copies."""
        indices = plan.inputs[node.input[0]].indices
        activation = writer.producer(node.input[0])
        before = writer.producer(activation.input[0])
        writer.set_input(activation, 1, self._array(activation.input[1])[indices])
        if before.name not in plan.weights:
            writer.set_input(before, 1, self._array(before.input[1])[:, indices])
        return before.name, indices

    def _quantize_input(self, writer: GraphWriter, node: Any, input_plan: InputPlan) -> None:
        """Smooth and quantize the tensor that a product multiplies, in nodes before the product."""
        from onnx import helper

        source = node.input[0]
        smooth = writer.constant(f"{source}_smooth", (1 / input_plan.smooth).astype(np.float32))
        writer.constant(f"{source}_scale", np.float32(input_plan.scale))
        writer.constant(f"{source}_zero_point", np.uint8(input_plan.zero_point))
        writer.insert_before(
            node,
            helper.make_node("Mul", [source, smooth], [f"{source}_smoothed"], f"{node.name}/smooth"),
            helper.make_node(
                "QuantizeLinear",
                [f"{source}_smoothed", f"{source}_scale", f"{source}_zero_point"],
                [f"{source}_quantized"],
                f"{node.name}/quantize",
            ),
        )

    def _replace_product(self, writer: GraphWriter, node: Any, weight: QuantizedWeight) -> None:
        """Put a product on integers, with its bias, in the place of one in fp32."""
        from onnx import helper

        source = node.input[0]
        bias = weight.correction + self._take_bias(writer, node)
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

    def _weight(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self._array(name).T)

    def _is_product(self, node: Any) -> bool:
        return node.op_type == "MatMul" and node.input[1] in self._constants and self._rank(node.input[1]) == 2

    def _rank(self, name: str) -> int:
        return len(self._constants[name].dims)

    def _copyable(self, node: Any) -> bool:
        """Whether the input comes from a fused activation with the bias of another product and is used once, so that
        both can give a channel several times."""
        activation = self._producers.get(node.input[0])
        if activation is None or activation.op_type not in ("BiasGelu", "FastGelu") or len(activation.input) < 2:
            return False
        before = self._producers.get(activation.input[0])
        used_once = all(len(self._consumers[name]) == 1 for name in (node.input[0], activation.input[0]))
        return used_once and before is not None and self._is_product(before) and activation.input[1] in self._constants

    def _take_bias(self, writer: GraphWriter, node: Any) -> np.ndarray | float:
        """Remove the constant bias from the fused node after a product, which runs faster without; return the bias,
        (outputs,), or 0 if there is none."""
        consumers = self._consumers.get(node.output[0], [])
        consumer = writer.current(consumers[0]) if len(consumers) == 1 else None
        if consumer is None or consumer.op_type not in BIAS_INPUTS:
            return 0.0
        index, without_bias = BIAS_INPUTS[consumer.op_type]
        if len(consumer.input) <= index or consumer.input[0] != node.output[0]:
            return 0.0
        if not writer.is_constant(consumer.input[index]):
            return 0.0
        bias = writer.array(consumer.input[index])
        del consumer.input[index]
        consumer.op_type = without_bias
        return bias


def build(
    variant: str, onnx: Path, row: Calibrate, calibration_texts: Path, evaluation: EvaluationData, out: Path
) -> None:
    """Make the variant's folder `out` from the exported graph in `onnx`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        exported = onnx_graph.without_head(variant_folder.weights_path(onnx, "onnx"), Path(scratch))
        graph = OnnxGraph.read(exported, Path(scratch), checkpoint_folder.config(onnx), row.int8_embeddings)
        calibration.calibrate(variant, graph, onnx, calibration_texts, evaluation, row, out)
