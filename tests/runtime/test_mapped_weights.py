"""ONNX files whose weights stay in the file: the same rows, weights that are mapped, files that are none."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from foundry_runtime import mapped_weights
from foundry_runtime.graphs import OnnxGraph

from foundry.variants import variant_folder
from tests.support.projects import TINY_VARIANTS

ONNX_VARIANTS = [name for name in TINY_VARIANTS if name.startswith("onnx")]


@pytest.fixture
def without_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of the tests' tiny model are small."""
    monkeypatch.setattr(mapped_weights, "SMALLEST", 256)


@pytest.mark.usefixtures("without_threshold")
@pytest.mark.parametrize("variant", ONNX_VARIANTS)
def test_the_same_rows(tiny: Path, variant: str) -> None:
    path = variant_folder.weights_path(tiny / variant, variant)
    written = mapped_weights.without_weights(path)
    assert len(written) < path.stat().st_size
    model, given = onnx.load(path), onnx.load_from_string(written)
    onnx.external_data_helper.load_external_data_for_model(given, str(path.parent))
    for tensor in given.graph.initializer:
        tensor.ClearField("data_location")  # onnx itself writes that it is the default
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")
    assert given == model  # with its weights again, nothing else has changed
    inputs = {
        "input_ids": np.array([[2, 9, 7, 3], [2, 11, 3, 0]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "token_type_ids": np.zeros((2, 4), np.int64),
    }
    options = onnxruntime.SessionOptions()  # with options of one's own, all of the file is read
    for name, values in OnnxGraph(path, session_options=options).run(inputs).items():
        assert np.array_equal(OnnxGraph(path).run(inputs)[name], values)


@pytest.mark.usefixtures("without_threshold")
def test_weights_are_mapped(tiny: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny / "onnx/onnx/model.onnx", tmp_path / "0123abcd"))
    link = tmp_path / "snapshot/onnx/model.onnx"  # as the Hub's cache has it
    link.parent.mkdir(parents=True)
    link.symlink_to(path)
    graph = OnnxGraph(link)
    assert str(path) in Path("/proc/self/maps").read_text()
    del graph
    assert str(path) not in Path("/proc/self/maps").read_text()


@pytest.mark.usefixtures("without_threshold")
def test_weights_in_another_file_stay_there(tiny: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny / "onnx/onnx/model.onnx")
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=256)
    inputs = {name: np.ones((1, 4), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    expected = OnnxGraph(tiny / "onnx/onnx/model.onnx").run(inputs)
    with pytest.raises(ValueError, match="is in another file"):
        mapped_weights.without_weights(path)
    for name, values in OnnxGraph(path).run(inputs).items():
        assert np.array_equal(values, expected[name])


@pytest.mark.parametrize("damage", [slice(0, 0), slice(0, 5000), slice(-5000, None)])
def test_what_is_no_onnx_file_is_onnx_runtimes_error(tiny: Path, tmp_path: Path, damage: slice) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((tiny / "onnx/onnx/model.onnx").read_bytes()[damage])
    with pytest.raises(ValueError, match=r"empty|byte"):
        mapped_weights.without_weights(path)
    with pytest.raises(Exception, match=r"model\.onnx") as raised:
        OnnxGraph(path)
    assert "onnxruntime" in type(raised.value).__module__
