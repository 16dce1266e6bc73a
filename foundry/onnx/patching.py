"""What is replaced inside ONNX Runtime for as long as one of its tools works, and put back afterwards."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

RELOAD = "save_and_reload_model_with_shape_infer"
SMALLEST_SAVED_EXTERNAL_BYTES = 1024  # onnx's default, of a tensor's values as a Python object


def infer_shapes(model: Any) -> Any:
    """The model with the shapes of its tensors, and what ONNX Runtime's function leaves in it beside them: the record
    that shapes were inferred, and marks on the tensors that it saved into a sidecar and read back.

    Tensors that are in a sidecar here get their mark when they are saved.
    """
    import onnx
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    inferred = onnx.shape_inference.infer_shapes(model)
    add_infer_metadata(inferred)
    for tensor in inferred.graph.initializer:
        if sys.getsizeof(tensor.raw_data) >= SMALLEST_SAVED_EXTERNAL_BYTES:
            tensor.data_location = tensor.DEFAULT
    return inferred


@contextlib.contextmanager
def shapes_inferred_in_memory() -> Iterator[None]:
    """Inside the block, ONNX Runtime's dynamic quantizer infers shapes in memory, on a graph without its weights.

    ONNX Runtime itself writes the graph with all weights to a file and reads it back, which takes the memory of all
    weights twice.
    """
    from onnxruntime.quantization import base_quantizer, onnx_quantizer

    modules = (base_quantizer, onnx_quantizer)  # each has imported the function under its name
    originals = [getattr(module, RELOAD) for module in modules]
    for module in modules:
        setattr(module, RELOAD, infer_shapes)
    try:
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            setattr(module, RELOAD, original)
