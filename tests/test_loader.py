"""The one loader: exactly the file that was asked for, or an error."""

from pathlib import Path

import pytest

from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.variants import naming, variant_folder


def test_a_missing_file_is_an_error_and_not_an_export(tiny: Path) -> None:
    with pytest.raises(FoundryError, match=r"model_O2.onnx is not there"):
        loader.load(tiny / "onnx", "onnx_O2")


def test_the_file_is_the_one_asked_for(tiny: Path) -> None:
    loaded = loader.load(tiny / "onnx_O2", "onnx_O2")
    assert Path(loaded[0].auto_model.path) == variant_folder.weights_path(tiny / "onnx_O2", "onnx_O2")


def test_openvino_computes_in_fp32_on_every_processor(tiny: Path) -> None:
    loaded = loader.load(tiny / "openvino", "openvino")[0].auto_model
    loaded.compile()
    assert loaded.request.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("onnx", "model.onnx"),
        ("onnx_O3", "model_O3.onnx"),
        ("onnx_qint8_avx512_vnni", "model_qint8_avx512_vnni.onnx"),
        ("openvino", "openvino_model.xml"),
        ("openvino_qint8_quantized", "openvino_model_qint8_quantized.xml"),
    ],
)
def test_names_are_those_of_sentence_transformers(variant: str, name: str) -> None:
    assert naming.file_name(variant) == name


def test_torch_has_no_graph() -> None:
    with pytest.raises(ValueError, match="neither onnx nor openvino"):
        naming.file_name("torch")
