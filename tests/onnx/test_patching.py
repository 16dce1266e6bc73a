"""What is replaced inside ONNX Runtime is put back, whether its tool ends well or not."""

import logging
import warnings
from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import base_quantizer, onnx_quantizer, quant_utils

from foundry.base.errors import FoundryError
from foundry.base.quiet import without_warnings
from foundry.onnx import patching, quantization
from foundry.onnx.settings import Quantize
from foundry.variants import variant_folder


def is_original() -> bool:
    original = quant_utils.save_and_reload_model_with_shape_infer
    return all(getattr(module, patching.RELOAD) is original for module in (base_quantizer, onnx_quantizer))


def test_the_function_is_replaced_inside_the_block_alone() -> None:
    with patching.shapes_inferred_in_memory():
        assert getattr(base_quantizer, patching.RELOAD) is patching.infer_shapes
        assert getattr(onnx_quantizer, patching.RELOAD) is patching.infer_shapes
    assert is_original()
    with pytest.raises(RuntimeError), patching.shapes_inferred_in_memory():
        raise RuntimeError
    assert is_original()


def test_the_replacement_gives_the_same_bytes(tiny: Path) -> None:
    model = onnx.load(variant_folder.weights_path(tiny / "onnx", "onnx"))
    expected = quant_utils.save_and_reload_model_with_shape_infer(model).SerializeToString(deterministic=True)
    assert patching.infer_shapes(model).SerializeToString(deterministic=True) == expected


@pytest.mark.parametrize("operators", [["MatMul"], ["Conv"]], ids=["quantized", "refused"])
def test_quantizing_leaves_onnx_runtime_and_logging_as_they_were(
    tiny: Path, tmp_path: Path, operators: list[str]
) -> None:
    row = Quantize(isa="avx512", operators=operators)
    graph = variant_folder.weights_path(tiny / "onnx", "onnx")
    try:
        quantization.quantize(graph, tmp_path / "model.onnx", row)
        refused = False
    except FoundryError:
        refused = True
    assert refused == (operators == ["Conv"])
    assert is_original()
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize("level", [logging.NOTSET, logging.INFO, logging.ERROR])
def test_warnings_are_off_inside_the_block_and_as_before_after_it(level: int) -> None:
    filters = list(warnings.filters)
    logging.disable(level)
    try:
        with pytest.raises(RuntimeError), without_warnings():
            assert logging.root.manager.disable == max(level, logging.WARNING)
            warnings.warn("a warning", stacklevel=1)
            raise RuntimeError
        assert logging.root.manager.disable == level
        assert list(warnings.filters) == filters
    finally:
        logging.disable(logging.NOTSET)
