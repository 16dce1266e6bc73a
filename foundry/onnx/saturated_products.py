"""Nodes that compute a product of integers with sums that saturate: the exact product, and a correction.

The correction of an output is the sum, over the pairs that can saturate, of the sum in 16 bits less the exact one.
Everything in it is an integer below 2^24, so floating point computes it exactly.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from foundry.int8.planning import INT16_MAX
from foundry.int8.saturation import INT16_MIN, Pairs, range_names
from foundry.onnx.graph_writer import GraphWriter

MICROSOFT = "com.microsoft"
MOST_PAIRS = 2**15  # whose sums are held at once: with 4,096 tokens, half a gigabyte for each step of the computation


def apart(writer: GraphWriter, node: Any, tokens: str) -> Any:
    """Put a product that does more than multiply in pieces; return the node that multiplies, a MatMulInteger or a
    MatMulIntegerToFloat."""
    match node.op_type:
        case "DynamicQuantizeMatMul":
            return _with_tokens(writer, node, tokens)
        case "QAttention":
            return _before_attention(writer, node)
        case "QLinearMatMul" | "QGemm":
            return _before_quantization(writer, node)
    return node


def _with_tokens(writer: GraphWriter, node: Any, tokens: str) -> Any:
    from onnx import helper

    source, weight, weight_scale, *rest = node.input
    zero_point, bias = (*rest, "", "")[:2]
    scale, token_zero_point = f"{tokens}_scale", f"{tokens}_zero_point"
    quantize = helper.make_node(
        "DynamicQuantizeLinear", [source], [tokens, scale, token_zero_point], f"{tokens}_quantize"
    )
    inputs = [tokens, weight, scale, weight_scale, token_zero_point, zero_point, bias]
    product = _to_float(inputs, node.output[0], node.name)
    writer.insert_before(node, quantize)
    writer.replace(node, product)
    return product


def _before_attention(writer: GraphWriter, node: Any) -> Any:
    from onnx import helper

    tokens, weight, bias, scale, weight_scale, *rest = node.input
    mask, zero_point, weight_zero_point = (*rest, "", "", "")[:3]
    output = node.output[0]
    inputs = [tokens, weight, scale, weight_scale, zero_point, weight_zero_point, bias]
    product = _to_float(inputs, f"{output}_projected", f"{node.name}_projected")
    parts = [f"{output}_{part}" for part in ("query", "key", "value")]
    sizes = writer.constant(f"{output}_sizes", np.full(3, writer.array(weight).shape[1] // 3, np.int64))
    split = helper.make_node("Split", [product.output[0], sizes], parts, f"{node.name}_split", axis=-1)
    attention = helper.make_node(
        "MultiHeadAttention", [*parts, "", mask] if mask else parts, [output], node.name, domain=MICROSOFT
    )
    attention.attribute.extend(
        attribute
        for attribute in node.attribute
        if attribute.name in ("num_heads", "unidirectional", "mask_filter_value", "scale")
    )
    writer.insert_before(node, product, split)
    writer.replace(node, attention)
    return product


def _before_quantization(writer: GraphWriter, node: Any) -> Any:
    from onnx import helper

    tokens, scale, zero_point, weight, weight_scale, weight_zero_point, *rest = node.input
    output, bias = node.output[0], rest.pop(0) if node.op_type == "QGemm" else ""
    if any(attribute.name == "transB" and attribute.i for attribute in node.attribute):
        weight = writer.constant(f"{weight}_transposed", np.ascontiguousarray(writer.array(weight).T))
    inputs = [tokens, weight, scale, weight_scale, zero_point, weight_zero_point]
    product = _to_float(inputs, f"{output}_product", f"{node.name}_product")
    writer.insert_before(node, product)
    result = product.output[0]
    if bias:  # int32, in units of both scales
        for operator, names, name in (
            ("Cast", [bias], f"{output}_bias"),
            ("Mul", [f"{output}_bias", scale], f"{output}_bias_scaled"),
            ("Mul", [f"{output}_bias_scaled", weight_scale], f"{output}_bias_float"),
            ("Add", [result, f"{output}_bias_float"], f"{output}_biased"),
        ):
            writer.insert_before(
                node, helper.make_node(operator, names, [name], name, **({"to": 1} if operator == "Cast" else {}))
            )
        result = f"{output}_biased"
    if len(rest) > 1 and rest[0]:
        last = helper.make_node("QuantizeLinear", [result, *rest[:2]], [output], node.name)
    else:
        last = helper.make_node("Identity", [result], [output], node.name)
    writer.replace(node, last)
    return product


def _to_float(inputs: list[str], output: str, name: str) -> Any:
    from onnx import helper

    while not inputs[-1]:
        inputs.pop()
    return helper.make_node("MatMulIntegerToFloat", inputs, [output], name, domain=MICROSOFT)


def add_range(writer: GraphWriter, node: Any, tokens: str, channels: int) -> None:
    """Give the lowest and the highest integer of each channel of a product's tokens, before it."""
    from onnx import TensorProto, helper

    name = by_channel(tokens)
    shape = writer.constant(f"{tokens}_shape_of_rows", np.array([-1, channels], np.int64))
    nodes = [
        helper.make_node("Cast", [tokens], [f"{name}_float"], f"{name}_float", to=TensorProto.FLOAT),
        helper.make_node("Reshape", [f"{name}_float", shape], [f"{name}_rows"], f"{name}_rows"),
        # A row for each channel: many tokens of a few channels are read below, and rows are read fastest.
        helper.make_node("Transpose", [f"{name}_rows"], [name], name, perm=[1, 0]),
    ]
    for operator, output in zip(("ReduceMin", "ReduceMax"), range_names(tokens), strict=True):
        if writer.opset < 18:
            nodes.append(helper.make_node(operator, [name], [output], output, axes=[1], keepdims=0))
        else:
            axes = writer.constant(f"{tokens}_axes", np.array([1], np.int64))
            nodes.append(helper.make_node(operator, [name, axes], [output], output, keepdims=0))
    writer.insert_before(node, *nodes)


def by_channel(tokens: str) -> str:
    """The name of a quantized tensor with a row for each channel, (channels, tokens) float32."""
    return f"{tokens}_by_channel"


def declare_ranges(model: Any, channels: dict[str, int]) -> None:
    """Make the ranges outputs of the model, after its own; `channels` by tensor."""
    from onnx import TensorProto, helper

    for tokens, count in channels.items():
        for name in range_names(tokens):
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [count]))


def saturate(writer: GraphWriter, node: Any, pairs: Pairs) -> None:
    """Add to a MatMulInteger or MatMulIntegerToFloat what the sums of these pairs lose in 16 bits."""
    from onnx import TensorProto, helper

    output, tokens = node.output[0], node.input[0]
    channels, weights, row_of_output = pairs.by_output()

    def constant(name: str, values: Any) -> str:
        return writer.constant(f"{output}/saturation/{name}", np.asarray(values))

    def names(*parts: str) -> list[str]:
        return [f"{output}/saturation/{part}" for part in parts]

    added: list[Any] = []

    def add(operator: str, inputs: Iterable[str], name: str, **attributes: Any) -> str:
        [result] = names(name)
        added.append(helper.make_node(operator, list(inputs), [result], result, **attributes))
        return result

    def lost_of(start: int, suffix: str) -> str:
        """What the sums of a part of the outputs lose, (outputs of the part, tokens)."""
        part = slice(start, start + step)
        products = []
        for index, which in enumerate(("first", "second")):
            which += suffix
            rows = constant(f"{which}_channels", channels[part] + index)
            values = add("Gather", [by_channel(tokens), rows], f"{which}_tokens")  # (rows, pairs of a row, tokens)
            factors = constant(f"{which}_weights", weights[index, part, :, None])
            products.append(add("Mul", [values, factors], f"{which}_products"))
        exact = add("Add", products, f"exact{suffix}")
        above = add("Max", [exact, constant("lowest", np.float32(INT16_MIN))], f"above{suffix}")
        clipped = add("Min", [above, constant("highest", np.float32(INT16_MAX))], f"clipped{suffix}")
        lost = add("Sub", [clipped, exact], f"lost{suffix}")
        ones = constant("ones", np.ones((1, channels.shape[1]), np.float32))
        sums = add("MatMul", [ones, lost], f"sums{suffix}")
        shape = constant(f"shape_of_rows{suffix}", np.array([len(channels[part]), -1], np.int64))
        return add("Reshape", [sums, shape], f"rows{suffix}")

    # A head with a word of the vocabulary in each output has millions of pairs, each a number for each token.
    step = max(MOST_PAIRS // channels.shape[1], 1)
    parts = [lost_of(start, f"_{start}" if start else "") for start in range(0, len(channels), step)]
    rows = parts[0] if len(parts) == 1 else add("Concat", parts, "all_rows", axis=0)
    outputs = add("Gather", [rows, constant("row_of_output", row_of_output)], "outputs")
    transposed = add("Transpose", [outputs], "transposed", perm=[1, 0])
    shape = add("Shape", names("product"), "shape")
    correction = add("Reshape", [transposed, shape], "correction")
    product = type(node).FromString(node.SerializeToString())
    product.output[0] = names("product")[0]
    if node.op_type == "MatMulInteger":
        correction = add("Cast", [correction], "integers", to=TensorProto.INT32)
    else:
        scaled = add("Mul", [correction, node.input[2]], "scaled")
        correction = add("Mul", [scaled, node.input[3]], "scaled_by_weights")
    writer.insert_before(node, product, *added)
    writer.replace(node, helper.make_node("Add", [product.output[0], correction], [output], f"{output}/saturated"))
