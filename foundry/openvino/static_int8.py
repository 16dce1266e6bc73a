"""OpenVINO graphs: the plan of `foundry.int8` written into a graph, and graphs whose weights alone are smaller.

Activations become FakeQuantize nodes, and weights become int8 constants with a scale for each row. From this form,
OpenVINO runs a matrix product on integers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base.errors import FoundryError
from foundry.int8 import calibration
from foundry.int8.planning import SMALLEST_TABLE, InputPlan, Plan, Product, QuantizedWeight, quantize_rows
from foundry.int8.search import EvaluationData
from foundry.openvino import attention_scores
from foundry.openvino.nodes import float_constant, matrix_of
from foundry.openvino.settings import CalibrateOpenVino
from foundry.variants import naming, variant_folder


class OpenVinoGraph:
    """An OpenVINO model in memory, and its matrix products."""

    def __init__(self, model: Any, int8_embeddings: bool = True, attention_scores: bool = False) -> None:
        self._model, self._int8_embeddings, self._attention_scores = model, int8_embeddings, attention_scores

    @classmethod
    def read(cls, graph: Path, int8_embeddings: bool = True, attention_scores: bool = False) -> "OpenVinoGraph":
        """The model in a file.

        Raises:
            FoundryError: when the file cannot be read.
        """
        import openvino

        try:
            return cls(openvino.Core().read_model(graph), int8_embeddings, attention_scores)
        except RuntimeError as error:
            raise FoundryError(f"{graph} is truncated or no OpenVINO graph: {error}") from error

    @property
    def input_names(self) -> set[str]:
        """The names of the graph's inputs."""
        return {name for node in self._model.inputs for name in node.get_names()}

    def products(self) -> list[Product]:
        """Every product of tokens with a constant matrix, in running order."""
        return [product for _, product in _products(self._model)]

    def score_sources(self) -> list[str]:
        """The queries and keys of attention, in running order; none where its scores stay as they are."""
        return [projection.tensor for projection in self._projections(self._model)]

    def _projections(self, model: Any) -> list[attention_scores.Projection]:
        """The queries and keys of a copy of the model, where their products are to be on integers."""
        if not self._attention_scores:
            return []
        return [projection for pair in attention_scores.pairs(model) for projection in pair]

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""
        import openvino

        watched = self._model.clone()
        outputs = {product.source: node.input_value(0) for node, product in _products(watched)}
        outputs |= {projection.tensor: projection.values for projection in self._projections(watched)}
        before = len(watched.outputs)
        watched.add_outputs([outputs[source] for source in sources])
        request = openvino.Core().compile_model(watched, "CPU", naming.EXACT).create_infer_request()
        for text_inputs in inputs:
            values = list(request.infer(text_inputs).values())[before:]
            yield {source: value.reshape(-1, value.shape[-1]) for source, value in zip(sources, values, strict=True)}

    def write(self, target: Path, plan: Plan) -> None:
        """Write the graph with the plan's products in int8."""
        model = self._model.clone()
        products = [(node, product) for node, product in _products(model) if product.name in plan.weights]
        scores = [
            pair
            for pair in attention_scores.pairs(model)
            if all(projection.tensor in plan.scores and projection.product in plan.weights for projection in pair)
        ]
        copied: dict[str, np.ndarray] = {}  # by the product that gives its outputs several times
        for node, product in products:
            if plan.inputs[product.source].copies.max() > 1:
                indices = plan.inputs[product.source].indices
                copied[_copy_channels(node.input_value(0).get_node(), indices)] = indices
        quantized: dict[str, Any] = {}  # by the source tensor
        for node, product in products:
            weight = plan.weights[product.name]
            if product.name in copied:
                weight = weight.copied(copied[product.name])
            if product.source not in quantized:
                quantized[product.source] = _quantize_input(node, product.name, plan.inputs[product.source])
            _replace_product(node, product.name, quantized[product.source], weight)
        for query, key in scores:
            attention_scores.quantize(query, key, plan.scores)
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
            _connect(list(node.output(0).get_target_inputs()), result)
        _quantize_tables(model)
        model.validate_nodes_and_infer_types()
        save(model, target)

    def write_with_fp16_weights(self, target: Path) -> None:
        """Write the graph with weights in half precision; the device decides in which precision OpenVINO computes."""
        import openvino

        openvino.save_model(self._model, target, compress_to_fp16=True)


def save(model: Any, target: Path) -> None:
    """Write an OpenVINO model as `target` and its `.bin`, with the weights as they are, as optimum does."""
    import openvino

    openvino.save_model(model, target, compress_to_fp16=False)


def _products(model: Any) -> list[tuple[Any, Product]]:
    """The nodes that multiply tokens by a constant matrix, in running order."""
    products = []
    for node in model.get_ordered_ops():
        constant = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        matrix = None if constant is None else matrix_of(constant)
        if matrix is None or node.get_attributes()["transpose_a"]:
            continue
        source = node.input_value(0)
        if source.get_partial_shape().rank.get_length() != 3:
            continue  # after pooling, a product runs once for each text: no time to gain, and scores would be worse
        source_name = f"{source.get_node().get_friendly_name()}:{source.get_index()}"
        read_weight = partial(_weight, constant, bool(node.get_attributes()["transpose_b"]))
        copyable = _copyable(source.get_node())
        products.append((node, Product(node.get_friendly_name(), source_name, read_weight, matrix.size, copyable)))
    return products


def _quantize_input(node: Any, name: str, input_plan: InputPlan) -> Any:
    """The smoothed and quantized tensor for a product; `name` is the product's."""
    from openvino import opset13 as ops

    if input_plan.copies.max() > 1:
        _infer_shapes(node.input_value(0).get_node())
    smooth = float_constant((1 / input_plan.smooth)[None, None], f"{name}/smooth/scale")
    smoothed = ops.multiply(node.input_value(0), smooth, name=f"{name}/smooth")
    low = -input_plan.zero_point * input_plan.scale
    high = (255 - input_plan.zero_point) * input_plan.scale
    bounds = [float_constant(bound, f"{name}/range/{index}") for index, bound in enumerate((low, high, low, high))]
    return ops.fake_quantize(smoothed, *bounds, levels=256, name=f"{name}/quantize")


def _replace_product(node: Any, name: str, quantized: Any, weight: QuantizedWeight) -> None:
    """Put a product of the quantized tensor with the int8 weight, and the correction, in the place of a product."""
    from openvino import opset13 as ops

    stored = _int8(weight.integers, weight.scales, f"{name}/weight")
    result = ops.matmul(quantized, stored, False, True, name=f"{name}/int8")
    consumers = list(node.output(0).get_target_inputs())
    bias = _bias(consumers)
    if bias is None:
        correction = float_constant(weight.correction[None, None], f"{name}/correction")
        result = ops.add(result, correction, name=f"{name}/corrected")
    else:
        values = bias.get_source_output().get_node().data + weight.correction
        bias.replace_source_output(float_constant(values, f"{name}/bias").output(0))
    _connect(consumers, result)


def _weight(constant: Any, transposed: bool) -> np.ndarray:
    """A product's weight, (outputs, channels), from a constant that `matrix_of` accepts."""
    matrix = matrix_of(constant)
    if matrix is None:
        raise TypeError(f"{constant} holds no matrix")
    return matrix if transposed else np.ascontiguousarray(matrix.T)


def _copyable(activation: Any) -> bool:
    """Whether this is an activation function of a product with a bias, and each is used once, so that both can give a
    channel several times."""
    if activation.get_type_name() not in ("Gelu", "Relu") or len(activation.output(0).get_target_inputs()) != 1:
        return False
    add = activation.input_value(0).get_node()
    if add.get_type_name() != "Add" or len(add.output(0).get_target_inputs()) != 1:
        return False
    product, bias = add.input_value(0).get_node(), add.input_value(1).get_node()
    is_product = product.get_type_name() == "MatMul" and len(product.output(0).get_target_inputs()) == 1
    return (
        is_product and bias.get_type_name() == "Constant" and matrix_of(product.input_value(1).get_node()) is not None
    )


def _copy_channels(activation: Any, indices: np.ndarray) -> str:
    """Make the product before an activation function give output `indices[i]` as its i-th output; return the product's
    name."""
    add = activation.input_value(0).get_node()
    product, bias = add.input_value(0).get_node(), add.input_value(1).get_node()
    weight = matrix_of(product.input_value(1).get_node())
    assert weight is not None  # `_copyable` has checked it
    name = str(product.get_friendly_name())
    axis = 0 if product.get_attributes()["transpose_b"] else 1
    product.input(1).replace_source_output(float_constant(np.take(weight, indices, axis), f"{name}/copied").output(0))
    copied = float_constant(np.take(bias.data, indices, -1), f"{name}/bias/copied")
    add.input(1).replace_source_output(copied.output(0))
    return name


def _infer_shapes(activation: Any) -> None:
    """Update the shapes of an activation function, its bias and its product after channels were copied."""
    add = activation.input_value(0).get_node()
    for node in (add.input_value(0).get_node(), add, activation):
        node.constructor_validate_and_infer_types()


def _connect(consumers: Sequence[Any], result: Any) -> None:
    """Connect `result` to every consumer."""
    for consumer in consumers:
        consumer.replace_source_output(result.output(0))


def _bias(consumers: Sequence[Any]) -> Any:
    """The input with the constant bias of a product that has these consumers, or None."""
    if len(consumers) != 1 or consumers[0].get_node().get_type_name() != "Add":
        return None
    other = consumers[0].get_node().input(1 - consumers[0].get_index())
    return other if other.get_source_output().get_node().get_type_name() == "Constant" else None


def _quantize_tables(model: Any) -> None:
    """Store large tables of embeddings in int8, with a scale for each row."""
    for node in model.get_ordered_ops():
        table = matrix_of(node.input_value(0).get_node()) if node.get_type_name() == "Gather" else None
        if table is not None and table.size >= SMALLEST_TABLE:
            node.input(0).replace_source_output(
                _int8(*quantize_rows(table), f"{node.get_friendly_name()}/table").output(0)
            )


def _int8(integers: np.ndarray, scales: np.ndarray, name: str) -> Any:
    """An int8 constant, (rows, columns), multiplied by the scale of each row, (rows,)."""
    from openvino import Type
    from openvino import opset13 as ops

    constant = ops.constant(integers, dtype=Type.i8, name=f"{name}/int8")
    floats = ops.convert(constant, Type.f32, name=f"{name}/float")
    return ops.multiply(floats, float_constant(scales[:, None], f"{name}/scale"), name=name)


def build(
    variant: str, openvino: Path, row: CalibrateOpenVino, calibration_texts: Path, evaluation: EvaluationData, out: Path
) -> None:
    """Make the variant's folder `out` from the exported graph in `openvino`."""
    graph = OpenVinoGraph.read(
        variant_folder.weights_path(openvino, "openvino"), row.int8_embeddings, row.attention_scores
    )
    calibration.calibrate(variant, graph, openvino, calibration_texts, evaluation, row, out)
