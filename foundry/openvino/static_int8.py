"""OpenVINO graphs in 8 bits: the products of `int8`, and weights alone.

Activations become FakeQuantize nodes and weights int8 constants with a scale for each row, the form in which OpenVINO
runs a product on integers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base.errors import FoundryError
from foundry.int8 import calibration
from foundry.int8.planning import SMALLEST_TABLE, Plan, Product, quantize_rows
from foundry.int8.search import EvaluationData
from foundry.int8.settings import Calibrate
from foundry.variants import naming, variant_folder


class OpenVinoGraph:
    """An OpenVINO model in memory, and its products."""

    def __init__(self, model: Any, int8_embeddings: bool = True) -> None:
        self._model, self._int8_embeddings = model, int8_embeddings

    @classmethod
    def read(cls, graph: Path, int8_embeddings: bool = True) -> "OpenVinoGraph":
        """
        Raises:
            FoundryError: when the file cannot be read.
        """
        import openvino

        try:
            return cls(openvino.Core().read_model(graph), int8_embeddings)
        except RuntimeError as error:
            raise FoundryError(f"{graph} is truncated or no OpenVINO graph: {error}") from error

    @property
    def input_names(self) -> set[str]:
        return {name for node in self._model.inputs for name in node.get_names()}

    def products(self) -> list[Product]:
        """Every product of tokens with a constant matrix, in running order."""
        return [product for _, product in _products(self._model)]

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""
        import openvino

        watched = self._model.clone()
        outputs = {product.source: node.input_value(0) for node, product in _products(watched)}
        before = len(watched.outputs)
        watched.add_outputs([outputs[source] for source in sources])
        request = openvino.Core().compile_model(watched, "CPU", naming.EXACT).create_infer_request()
        for one in inputs:
            values = list(request.infer(one).values())[before:]
            yield {source: value.reshape(-1, value.shape[-1]) for source, value in zip(sources, values, strict=True)}

    def write(self, target: Path, plan: Plan) -> None:
        """Write the graph with the plan's products in int8."""
        from openvino import opset13 as ops

        model = self._model.clone()
        chosen = [(node, product) for node, product in _products(model) if product.name in plan.weights]
        copied: dict[str, np.ndarray] = {}  # by the product that gives its outputs several times
        for node, product in chosen:
            if plan.inputs[product.source].copies.max() > 1:
                indices = plan.inputs[product.source].indices
                copied[_copy_channels(node.input_value(0).get_node(), indices)] = indices
        quantized: dict[str, Any] = {}
        for node, product in chosen:
            how, weight = plan.inputs[product.source], plan.weights[product.name]
            if product.name in copied:
                weight = weight.copied(copied[product.name])
            if product.source not in quantized:
                if how.copies.max() > 1:
                    _infer_shapes(node.input_value(0).get_node())
                smooth = _constant((1 / how.smooth)[None, None], f"{product.name}/smooth/scale")
                smoothed = ops.multiply(node.input_value(0), smooth, name=f"{product.name}/smooth")
                low, high = -how.zero_point * how.scale, (255 - how.zero_point) * how.scale
                bounds = [
                    _constant(bound, f"{product.name}/range/{index}")
                    for index, bound in enumerate((low, high, low, high))
                ]
                name = f"{product.name}/quantize"
                quantized[product.source] = ops.fake_quantize(smoothed, *bounds, levels=256, name=name)
            stored = _int8(weight.integers, weight.scales, f"{product.name}/weight")
            result = ops.matmul(quantized[product.source], stored, False, True, name=f"{product.name}/int8")
            consumers = list(node.output(0).get_target_inputs())
            bias = _bias(consumers)
            if bias is None:
                correction = _constant(weight.correction[None, None], f"{product.name}/correction")
                result = ops.add(result, correction, name=f"{product.name}/corrected")
            else:
                values = bias.get_source_output().get_node().data + weight.correction
                bias.replace_source_output(_constant(values, f"{product.name}/bias").output(0))
            _replace(consumers, result)
        if self._int8_embeddings:
            _quantize_tables(model)
        model.validate_nodes_and_infer_types()
        save(model, target)

    def write_with_int8_weights(self, target: Path) -> None:
        """Write the graph with weights in int8 and nothing else quantized."""
        from openvino import opset13 as ops

        model = self._model.clone()
        for node, product in _products(model):
            stored = _int8(*quantize_rows(product.weight), f"{product.name}/weight")
            result = ops.matmul(node.input_value(0), stored, False, True, name=f"{product.name}/int8")
            _replace(list(node.output(0).get_target_inputs()), result)
        _quantize_tables(model)
        model.validate_nodes_and_infer_types()
        save(model, target)

    def write_with_fp16_weights(self, target: Path) -> None:
        """Write the graph with its weights stored in half precision; OpenVINO computes in what the device prefers."""
        import openvino

        openvino.save_model(self._model, target, compress_to_fp16=True)


def save(model: Any, target: Path) -> None:
    """Write an OpenVINO model as `target` and its `.bin`, uncompressed, as optimum does."""
    import openvino

    openvino.save_model(model, target, compress_to_fp16=False)


def _products(model: Any) -> list[tuple[Any, Product]]:
    found = []
    for node in model.get_ordered_ops():
        constant = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        matrix = None if constant is None else _matrix(constant)
        if matrix is None or node.get_attributes()["transpose_a"]:
            continue
        source = node.input_value(0)
        if source.get_partial_shape().rank.get_length() != 3:
            continue  # after pooling, a product runs once a text: nothing to gain, and a score to lose
        name = f"{source.get_node().get_friendly_name()}:{source.get_index()}"
        read = partial(_weight, constant, bool(node.get_attributes()["transpose_b"]))
        found.append((node, Product(node.get_friendly_name(), name, read, matrix.size, _copyable(source.get_node()))))
    return found


def _weight(constant: Any, transposed: bool) -> np.ndarray:
    """A product's weight (outputs, channels), of a constant that `_matrix` takes."""
    matrix = _matrix(constant)
    if matrix is None:
        raise TypeError(f"{constant} holds no matrix")
    return matrix if transposed else np.ascontiguousarray(matrix.T)


def _matrix(node: Any) -> np.ndarray | None:
    """The values of a constant matrix, in float32, or None for anything else."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or len(node.get_output_shape(0)) != 2:
        return None
    return np.asarray(node.data, dtype=np.float32)


def _copyable(activation: Any) -> bool:
    """Whether this is an activation function of a product with its own bias, used once: then both can give a channel
    several times.
    """
    if activation.get_type_name() not in ("Gelu", "Relu") or len(activation.output(0).get_target_inputs()) != 1:
        return False
    add = activation.input_value(0).get_node()
    if add.get_type_name() != "Add" or len(add.output(0).get_target_inputs()) != 1:
        return False
    product, bias = add.input_value(0).get_node(), add.input_value(1).get_node()
    is_product = product.get_type_name() == "MatMul" and len(product.output(0).get_target_inputs()) == 1
    return is_product and bias.get_type_name() == "Constant" and _matrix(product.input_value(1).get_node()) is not None


def _copy_channels(activation: Any, indices: np.ndarray) -> str:
    """Make the product before an activation function give each of its outputs as often as `indices` names it; give the
    product's name.
    """
    add = activation.input_value(0).get_node()
    product, bias = add.input_value(0).get_node(), add.input_value(1).get_node()
    weight = _matrix(product.input_value(1).get_node())
    assert weight is not None  # `_copyable` looked
    name = str(product.get_friendly_name())
    axis = 0 if product.get_attributes()["transpose_b"] else 1
    product.input(1).replace_source_output(_constant(np.take(weight, indices, axis), f"{name}/copied").output(0))
    copied = _constant(np.take(bias.data, indices, -1), f"{name}/bias/copied")
    add.input(1).replace_source_output(copied.output(0))
    return name


def _infer_shapes(activation: Any) -> None:
    """Let an activation function, and the bias and product before it, see how many channels they now have."""
    add = activation.input_value(0).get_node()
    for node in (add.input_value(0).get_node(), add, activation):
        node.constructor_validate_and_infer_types()


def _replace(consumers: Sequence[Any], result: Any) -> None:
    """Give `result` to every consumer."""
    for consumer in consumers:
        consumer.replace_source_output(result.output(0))


def _bias(consumers: Sequence[Any]) -> Any:
    """The input that holds the constant bias of a product with these consumers, or None where there is none."""
    if len(consumers) != 1 or consumers[0].get_node().get_type_name() != "Add":
        return None
    other = consumers[0].get_node().input(1 - consumers[0].get_index())
    return other if other.get_source_output().get_node().get_type_name() == "Constant" else None


def _quantize_tables(model: Any) -> None:
    """Store large tables of embeddings in int8, with a scale for each row."""
    for node in model.get_ordered_ops():
        table = _matrix(node.input_value(0).get_node()) if node.get_type_name() == "Gather" else None
        if table is not None and table.size >= SMALLEST_TABLE:
            node.input(0).replace_source_output(
                _int8(*quantize_rows(table), f"{node.get_friendly_name()}/table").output(0)
            )


def _int8(integers: np.ndarray, scales: np.ndarray, name: str) -> Any:
    from openvino import Type
    from openvino import opset13 as ops

    constant = ops.constant(integers, dtype=Type.i8, name=f"{name}/int8")
    floats = ops.convert(constant, Type.f32, name=f"{name}/float")
    return ops.multiply(floats, _constant(scales[:, None], f"{name}/scale"), name=name)


def _constant(values: Any, name: str) -> Any:
    """A constant with a name of its own: OpenVINO's own names count up, and differ from run to run."""
    from openvino import opset13 as ops

    return ops.constant(np.ascontiguousarray(values, dtype=np.float32), name=name)


def build(
    variant: str, openvino: Path, row: Calibrate, calibration_texts: Path, evaluation: EvaluationData, out: Path
) -> None:
    """Make the variant's folder `out` from the exported graph in `openvino`."""
    graph = OpenVinoGraph.read(variant_folder.weights_path(openvino, "openvino"), row.int8_embeddings)
    calibration.calibrate(variant, graph, openvino, calibration_texts, evaluation, row, out)
