"""Tables of embeddings in int8, with a scale for each row."""

import numpy as np

from foundry.int8.planning import SMALLEST_TABLE, quantize_rows
from foundry.onnx.graph_writer import GraphWriter


def quantize_tables(writer: GraphWriter) -> int:
    """Store the large tables of embeddings in int8, with a scale for each row; return how many there are."""
    from onnx import TensorProto, helper

    count = 0
    for node in list(writer.nodes):
        if node.op_type != "Gather" or not writer.is_constant(node.input[0]):
            continue
        shape = writer.shape(node.input[0])
        if len(shape) != 2 or np.prod(shape) < SMALLEST_TABLE:
            continue
        count += 1
        name, output = node.input[0], node.output[0]
        integers, scales = quantize_rows(writer.array(name))
        rows, scale = f"{output}_int8", f"{output}_scale"
        writer.insert_before(
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
    return count
