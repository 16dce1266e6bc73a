"""The names of variants' files."""

import pytest

from foundry.variants import naming


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
