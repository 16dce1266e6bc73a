"""Graphs whose last product does nothing where sums are exact, and ruins the embedding where they saturate."""

from pathlib import Path

import numpy as np

from foundry.variants import variant_folder

SATURATING, SAFE = 127, 64


def doubled(channels: int, weight: int) -> np.ndarray:
    """A weight (2 * channels, channels) that adds each channel, given twice, to itself `weight` times."""
    matrix: np.ndarray = np.repeat(np.eye(channels), 2, axis=0) * weight
    return matrix.astype(np.int8)


def append_to_onnx(folder: Path, variant: str, weight: int) -> None:
    """Give an ONNX variant such a product after its last node, on dynamically quantized tokens."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path = variant_folder.weights_path(folder, variant)
    model = onnx.load(path)
    output = model.graph.output[0]
    channels = output.type.tensor_type.shape.dim[-1].dim_value
    for node in model.graph.node:
        for names in (node.output, node.input):
            names[:] = ["before" if name == output.name else name for name in names]
    constants = {
        "twice": np.repeat(np.arange(channels), 2),
        "doubled": doubled(channels, weight),
        "share": np.float32(1 / (2 * weight)),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["before", "twice"], ["given_twice"], "twice", axis=-1),
            helper.make_node("DynamicQuantizeLinear", ["given_twice"], ["integers", "scale", "zero_point"], "quantize"),
            helper.make_node("MatMulInteger", ["integers", "doubled", "zero_point"], ["sums"], "product"),
            helper.make_node("Cast", ["sums"], ["sums_in_float"], "float", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["scale", "share"], ["scale_of_sums"], "scale_of_sums"),
            helper.make_node("Mul", ["sums_in_float", "scale_of_sums"], [output.name], "after"),
        ]
    )
    onnx.save(model, path)


def append_to_openvino(folder: Path, variant: str, weight: int, largest: float = 4.0) -> None:
    """Give an OpenVINO variant such a product after its last node, on tokens quantized from -largest to largest."""
    import openvino
    from openvino import Type
    from openvino import opset13 as ops

    from foundry.openvino.static_int8 import save

    path = variant_folder.weights_path(folder, variant)
    model = openvino.Core().read_model(path)
    [result] = model.get_results()
    source = result.input_value(0)
    names = source.get_names()
    channels = source.get_partial_shape()[-1].get_length()
    twice = ops.gather(source, ops.constant(np.repeat(np.arange(channels), 2)), ops.constant(np.int64(-1)))
    bounds = [ops.constant(np.float32(bound)) for bound in (-largest, largest, -largest, largest)]
    tokens = ops.fake_quantize(twice, *bounds, levels=256)
    integers = ops.convert(ops.constant(doubled(channels, weight).T, dtype=Type.i8), Type.f32)
    scaled = ops.multiply(integers, ops.constant(np.full((channels, 1), 1 / (2 * weight), np.float32)))
    product = ops.matmul(tokens, scaled, False, True)
    source.set_names(set())
    product.output(0).set_names(names)
    result.input(0).replace_source_output(product.output(0))
    model.validate_nodes_and_infer_types()
    # Not over the file that the model is still mapped from.
    changed = path.with_name(f"changed_{path.name}")
    save(model, changed)
    del model
    changed.replace(path)
    changed.with_suffix(".bin").replace(path.with_suffix(".bin"))
