"""Constants of OpenVINO graphs."""

from typing import Any

import numpy as np


def matrix_of(node: Any) -> np.ndarray | None:
    """The values of a constant matrix in float32; None if the node is anything else."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or len(node.get_output_shape(0)) != 2:
        return None
    return np.asarray(node.data, dtype=np.float32)


def float_constant(values: Any, name: str) -> Any:
    """A float32 constant with a given name, because the names that OpenVINO gives differ from run to run."""
    from openvino import opset13 as ops

    return ops.constant(np.ascontiguousarray(values, dtype=np.float32), name=name)
