"""Products in OpenVINO graphs that saturate on processors without VNNI, and a graph that computes them so on any
processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base.errors import FoundryError
from foundry.int8.planning import INT16_MAX, LARGEST_UINT8, SAFE_WEIGHT
from foundry.int8.saturation import INT16_MIN, Pairs, range_names, risky_pairs
from foundry.openvino import static_int8
from foundry.variants import naming

# OpenVINO then computes the quantized graph in floating point, without any rounding of its own.
EXACT = {**naming.EXACT, "LP_TRANSFORMS_MODE": "NO", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
# Products that OpenVINO may compute on integers where FakeQuantize stands before them.
PRODUCTS = ("MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData")
SCORES = ("ScaledDotProductAttention", "MatMul")  # those that may multiply queries and keys


@dataclass(frozen=True)
class IntegerProduct:
    """A product of quantized tokens with a constant signed weight that can saturate for some tokens."""

    output: str  # the name of the node that multiplies
    tokens: str  # that of the node that quantizes
    weight: np.ndarray  # (channels, outputs), int8


class IntegerGraph:
    """A graph with products of integers, and those of them that can saturate for some tokens."""

    def __init__(self, graph: Path, _scratch: Path) -> None:
        """Read the model.

        Raises:
            FoundryError: when the file cannot be read.
        """
        import openvino

        try:
            self._model = openvino.Core().read_model(graph)
        except RuntimeError as error:
            raise FoundryError(f"{graph} is truncated or no OpenVINO graph: {error}") from error
        self.product_count = 0
        self.products: list[IntegerProduct] = []
        self.unknown: list[str] = []  # nodes of which it cannot be said whether they saturate
        for node in self._model.get_ordered_ops():
            if node.get_type_name() in PRODUCTS and _quantizer(node) is not None:
                self._examine(node)
            elif node.get_type_name() in SCORES and all(_quantizer_of_heads(node, index) for index in (0, 1)):
                self._examine_scores(node)

    def _examine(self, node: Any) -> None:
        """Put a product of quantized tokens among the products or the unknown ones if it can saturate."""
        self.product_count += 1
        name = node.get_friendly_name()
        integers = _signed_integers(node.input_value(1).get_node())
        if integers is None:
            self.unknown.append(name)
            return
        if np.abs(integers.astype(np.int16)).max(initial=0) <= SAFE_WEIGHT:
            return
        attributes = node.get_attributes()
        quantizer: Any = _quantizer(node)
        is_known = node.get_type_name() == "MatMul" and integers.ndim == 2 and not attributes["transpose_a"]
        if not is_known or _bounds(quantizer) is None:
            self.unknown.append(name)
            return
        matrix = integers.T if attributes["transpose_b"] else integers
        if len(risky_pairs(matrix)):
            self.products.append(IntegerProduct(name, quantizer.get_friendly_name(), matrix))

    def _examine_scores(self, node: Any) -> None:
        """Put a product of queries and keys in int8 among the unknown ones if it can saturate."""
        self.product_count += 1
        query, key = (_largest_integer(_quantizer_of_heads(node, index)) for index in (0, 1))
        if 2 * (128 + query) * key > INT16_MAX:  # the queries are moved by 128 to be unsigned
            self.unknown.append(node.get_friendly_name())

    def write(self, target: Path, pairs: Mapping[str, Pairs]) -> None:
        """Write the graph in which the sums of the given pairs, by the output of their product, are as they are in 16
        bits, when it is run with `EXACT`. It also gives the range of each product's tokens, by `range_names`."""
        from openvino import opset13 as ops

        model = self._model.clone()
        nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
        by_channel: dict[str, Any] = {}
        for product in self.products:
            if product.tokens not in by_channel:
                by_channel[product.tokens] = _integers_by_channel(nodes[product.tokens], len(product.weight))
        for product in self.products:
            if len(pairs.get(product.output, ())):
                _saturate(nodes[product.output], by_channel[product.tokens], pairs[product.output])
        for tokens, rows in by_channel.items():
            axis = ops.constant(np.array([1], np.int64))
            for name, reduce in zip(range_names(tokens), (ops.reduce_min, ops.reduce_max), strict=True):
                output = reduce(rows, axis).output(0)
                output.set_names({name})
                model.add_outputs([output])
        model.validate_nodes_and_infer_types()
        static_int8.save(model, target)


def saturates_here() -> bool:
    """Whether OpenVINO's sums saturate on this processor."""
    import openvino
    from openvino import Type
    from openvino import opset13 as ops

    tokens = ops.parameter([-1, -1, 64], dtype=Type.f32)
    bounds = [ops.constant(np.float32(bound)) for bound in (0, 255, 0, 255)]
    integers = ops.convert(ops.constant(np.full((16, 64), 127, np.int8), dtype=Type.i8), Type.f32)
    weight = ops.multiply(integers, ops.constant(np.ones((16, 1), np.float32)))
    product = ops.matmul(ops.fake_quantize(tokens, *bounds, levels=256), weight, False, True)
    model = openvino.Model([product], [tokens])
    result = openvino.Core().compile_model(model, "CPU", naming.EXACT)({0: np.full((1, 4, 64), 255, np.float32)})[0]
    return bool((np.abs(result - 64 * 255 * 127) > 1).any())


def _quantizer(node: Any) -> Any | None:
    """The FakeQuantize node of a product's tokens, or None."""
    source = node.input_value(0).get_node()
    return source if source.get_type_name() == "FakeQuantize" else None


def _quantizer_of_heads(node: Any, index: int) -> Any | None:
    """The FakeQuantize node of an input that is cut into heads, or None."""
    source = node.input_value(index).get_node()
    while source.get_type_name() in ("Reshape", "Transpose"):
        source = source.input_value(0).get_node()
    return source if source.get_type_name() == "FakeQuantize" else None


def _largest_integer(quantizer: Any) -> int:
    """The largest absolute integer that a FakeQuantize node of signed values gives, by what its input is clamped to."""
    bounds, source = _bounds(quantizer), quantizer.input_value(0).get_node()
    if bounds is None or source.get_type_name() != "Clamp":
        return 128
    step = (bounds[1] - bounds[0]) / LARGEST_UINT8
    return min(128, round(max(abs(source.get_attributes()[key]) for key in ("min", "max")) / step))


def _signed_integers(node: Any) -> np.ndarray | None:
    """The int8 constant of a weight that is `constant * scale`; None where it is anything else."""
    if node.get_type_name() != "Multiply":
        return None
    convert = node.input_value(0).get_node()
    if convert.get_type_name() != "Convert":
        return None
    constant = convert.input_value(0).get_node()
    if constant.get_type_name() != "Constant" or constant.get_element_type().get_type_name() != "i8":
        return None
    return np.array(constant.data)


def _bounds(quantizer: Any) -> tuple[float, float] | None:
    """The lowest and highest value of a FakeQuantize with 256 levels whose tokens keep their values; else None."""
    if quantizer.get_attributes()["levels"] != LARGEST_UINT8 + 1:
        return None
    values = []
    for index in range(1, 5):
        node = quantizer.input_value(index).get_node()
        if node.get_type_name() != "Constant" or node.data.size != 1:
            return None
        values.append(float(node.data.reshape(-1)[0]))
    return (values[0], values[1]) if values[:2] == values[2:] else None


def _integers_by_channel(quantizer: Any, channels: int) -> Any:
    """The integers of the quantized tokens, with a row for each channel, (channels, tokens) float32."""
    from openvino import opset13 as ops

    low, high = _bounds(quantizer) or (0.0, 1.0)
    values = ops.subtract(quantizer, ops.constant(np.float32(low)))
    integers = ops.round(ops.multiply(values, ops.constant(np.float32(LARGEST_UINT8 / (high - low)))), "half_to_even")
    rows = ops.reshape(integers, ops.constant(np.array([-1, channels], np.int64)), False)
    return ops.transpose(rows, ops.constant(np.array([1, 0], np.int64)))


def _saturate(product: Any, by_channel: Any, pairs: Pairs) -> None:
    """Add to a product what the sums of these pairs lose in 16 bits, in the units of its result."""
    from openvino import opset13 as ops

    consumers = list(product.output(0).get_target_inputs())
    channels, weights, row_of_output = pairs.by_output()
    low, high = _bounds(_quantizer(product)) or (0.0, 1.0)
    weight_scale = product.input_value(1).get_node().input_value(1).get_node().data.reshape(-1)
    first, zero = ops.constant(np.array(1, np.int64)), ops.constant(np.array(0, np.int64))
    products = [
        ops.multiply(
            ops.gather(by_channel, ops.constant(channels + index), zero), ops.constant(weights[index, ..., None])
        )
        for index in (0, 1)
    ]
    exact = ops.add(*products)
    lost = ops.reduce_sum(ops.subtract(ops.clamp(exact, float(INT16_MIN), float(INT16_MAX)), exact), first)
    by_output = ops.gather(lost, ops.constant(row_of_output), zero)
    rows = ops.transpose(by_output, ops.constant(np.array([1, 0], np.int64)))
    scale = ((high - low) / LARGEST_UINT8 * weight_scale).astype(np.float32)
    correction = ops.reshape(ops.multiply(rows, ops.constant(scale)), ops.shape_of(product), False)
    result = ops.add(product, correction)
    for consumer in consumers:
        consumer.replace_source_output(result.output(0))
