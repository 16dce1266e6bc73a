"""Attention's scores on integers: queries and keys that OpenVINO multiplies in 8 bits, where it can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foundry.openvino.nodes import float_constant, matrix_of

# Queries have 8 bits, and keys 7: without VNNI, a query's integer plus 128 times a key's is added to the next such
# product in 16 bits, and 2 * 255 * 64 fits into them.
LARGEST_QUERY, LARGEST_KEY = 127, 64


@dataclass(frozen=True)
class Projection:
    """The queries or the keys of one attention, (1, tokens, channels)."""

    product: str  # that gives them
    tensor: str
    values: Any  # the output of the product, or of the addition of its bias
    consumer: Any  # the input that takes them, and cuts them into heads


def pairs(model: Any) -> list[tuple[Projection, Projection]]:
    """The queries and the keys whose product is attention's scores, in running order."""
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("ScaledDotProductAttention", "MatMul"):
            query, key = (_projection(node.input(index)) for index in (0, 1))
            if query is not None and key is not None:
                found.append((query, key))
    return found


def _projection(heads: Any) -> Projection | None:
    """The projection whose result, cut into heads and used for nothing else, is an input; or None."""
    consumer = heads
    node = consumer.get_source_output().get_node()
    while node.get_type_name() in ("Reshape", "Transpose"):
        consumer = node.input(0)
        node = consumer.get_source_output().get_node()
    product = node
    if node.get_type_name() == "Add" and node.input_value(1).get_node().get_type_name() == "Constant":
        product = node.input_value(0).get_node()
    is_product = product.get_type_name() == "MatMul" and matrix_of(product.input_value(1).get_node()) is not None
    if not is_product or consumer is heads or len(node.output(0).get_target_inputs()) != 1:
        return None
    return Projection(product.get_friendly_name(), f"{node.get_friendly_name()}:0", node.output(0), consumer)


def quantize(query: Projection, key: Projection, largest: Mapping[str, float]) -> None:
    """Quantize queries and keys before they are cut into heads; `largest` has the largest value of each tensor."""
    for projection, integer in ((query, LARGEST_QUERY), (key, LARGEST_KEY)):
        quantize_values(projection.consumer, projection.product, largest[projection.tensor], integer)


def quantize_values(consumer: Any, name: str, largest: float, integer: int) -> None:
    """Quantize what an input takes; the `largest` value becomes this integer, and no value a larger one."""
    from openvino import opset13 as ops

    step = largest / integer
    bounds = [
        float_constant(bound * step, f"{name}/score/range/{place}") for place, bound in enumerate((-128, 127) * 2)
    ]
    clamped = ops.clamp(consumer.get_source_output(), -largest, largest, name=f"{name}/score/clamp")
    quantized = ops.fake_quantize(clamped, *bounds, levels=256, name=f"{name}/score/quantize")
    consumer.replace_source_output(quantized.output(0))
