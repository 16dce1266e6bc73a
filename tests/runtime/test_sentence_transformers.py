"""Sentence Transformers' own classes with graphs that foundry_runtime loads for it, in the place of optimum."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.loading import loader
from foundry.variants import variant_folder
from tests.support.texts import documents

TEXTS = documents()[:3]


@pytest.fixture
def installed() -> Iterator[None]:
    """Sentence Transformers loads graphs by foundry_runtime, until the test is over."""
    from foundry_runtime import sentence_transformers as without_optimum
    from sentence_transformers.models import Transformer

    names: dict[str, Any] = Transformer._load_model.__globals__
    before = {name: names[name] for name in without_optimum.LOADERS}
    without_optimum.install()
    without_optimum.install()  # may be called again
    assert {name: names[name] for name in before} != before
    yield
    names.update(before)


@pytest.mark.needs_optimum
@pytest.mark.parametrize("variant", ["onnx", "onnx_O2", "openvino", "openvino_fp16"])
def test_the_same_embeddings_as_by_optimum(tiny: Path, variant: str, request: pytest.FixtureRequest) -> None:
    by_optimum = loader.load(tiny / variant, variant)
    expected = by_optimum.encode(TEXTS)
    request.getfixturevalue("installed")
    loaded = loader.load(tiny / variant, variant)
    assert "foundry_runtime" in type(loaded.model[0].auto_model).__module__
    assert "foundry_runtime" not in type(by_optimum.model[0].auto_model).__module__
    assert np.allclose(loaded.encode(TEXTS), expected, atol=1e-6)
    assert loaded.graph_inputs == by_optimum.graph_inputs


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("variant", ["onnx", "openvino"])
def test_the_embeddings_are_torchs(tiny: Path, variant: str) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(tiny / "torch"), device="cpu").encode(TEXTS)
    name = variant_folder.weights_path(tiny / variant, variant).name
    loaded = SentenceTransformer(str(tiny / variant), backend=variant, device="cpu", model_kwargs={"file_name": name})
    assert "foundry_runtime" in type(loaded[0].auto_model).__module__
    assert np.allclose(loaded.encode(TEXTS), expected, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_nothing_is_copied_between_a_graph_and_torch_on_the_same_device(tiny: Path) -> None:
    """A GPU's way to run a graph, which the processor runs as well."""
    loaded = loader.load(tiny / "onnx", "onnx")
    graph: Any = loaded.model[0].auto_model
    features = dict(loaded.tokenize(TEXTS))
    expected = graph(**features)
    tensors = {name: features[name] for name in graph.input_names if name in features}
    tensors.setdefault("token_type_ids", features["input_ids"] * 0)
    outputs = graph.run_where_they_lie(tensors)
    assert outputs.keys() == expected.keys()
    assert all(np.array_equal(outputs[name].numpy(), expected[name].numpy()) for name in outputs)


@pytest.mark.usefixtures("installed")
def test_a_provider_that_is_asked_for_is_used_or_is_an_error(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime
    from foundry_runtime import sentence_transformers as without_optimum
    from foundry_runtime.errors import ProviderUnavailable

    path = variant_folder.weights_path(tiny / "onnx", "onnx")
    with pytest.raises(ProviderUnavailable, match="CUDAExecutionProvider cannot be used here"):
        without_optimum._onnx_graph(path, {"provider": "CUDAExecutionProvider"})
    # Nobody asked: ONNX Runtime's build for CUDA on a machine without a GPU.
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    assert without_optimum._onnx_graph(path, {}).inputs


@pytest.mark.usefixtures("installed")
def test_nothing_is_exported(tiny: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Path(shutil.copytree(tiny / "torch", tmp_path / "torch"))
    before = sorted(folder.rglob("*"))
    with pytest.raises(FileNotFoundError, match=r"has no model.onnx, also not in onnx/"):
        SentenceTransformer(str(folder), backend="onnx", device="cpu")
    with pytest.raises(ValueError, match="export=True needs optimum"):
        SentenceTransformer(str(folder), backend="openvino", device="cpu", model_kwargs={"export": True})
    assert sorted(folder.rglob("*")) == before


def test_another_version_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from foundry_runtime import sentence_transformers as without_optimum

    monkeypatch.setattr(without_optimum, "LOADERS", ("load_onnx_model", "load_by_another_name"))
    with pytest.raises(ImportError, match="has no load_by_another_name where Transformer loads its model"):
        without_optimum.install()
