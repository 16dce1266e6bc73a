"""SentenceTransformer models of every shape: poolings, modules behind them, prompts, fewer dimensions, left padding."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.int8 import calibration
from foundry.loading import loader
from tests.support import architectures
from tests.support.stages import build, validate_in
from tests.support.texts import documents

pytestmark = pytest.mark.slow

VARIANTS = ["onnx", "onnx_O1", "onnx_qint8_static", "openvino"]
# Random weights leave int8 no room; what matters here is that it is built from the right texts.
LOOSE = {"mean_cosine": 0.5, "p5_cosine": 0.0, "p1_cosine": 0.0, "min_cosine": 0.0, "max_abs_diff": 5.0}
LOOSE |= {"mean_centred_cosine": -1.0, "p5_centred_cosine": -1.0, "p1_centred_cosine": -1.0, "min_centred_cosine": -1.0}
LOOSE |= {"hard_min_cosine": -1.0, "recall_at_10": 0.0, "similarity_spearman": 0.0}
LOOSE |= {"consistency_mean_cosine": 0.3, "consistency_min_cosine": -1.0}
PROMPTS = {"query": "search query: ", "document": "search document: "}


def dense() -> list[Any]:
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    torch.manual_seed(0)
    return [Dense(in_features=32, out_features=24), Normalize()]


SHAPES: dict[str, Callable[[Path], Path]] = {
    "cls": lambda folder: architectures.make_embedder(folder, "bert", "cls"),
    "max": lambda folder: architectures.make_embedder(folder, "bert", "max"),
    "weighted mean": lambda folder: architectures.make_embedder(folder, "roberta", "weightedmean"),
    "last token, padded left": lambda folder: architectures.make_embedder(folder, "qwen3"),
    "dense": lambda folder: architectures.make_embedder(folder, "bert", after=dense()),
    "not normalized": lambda folder: architectures.make_embedder(folder, "bert", after=[]),
    "prompts": lambda folder: architectures.make_embedder(folder, "bert", prompts=PROMPTS),
    "half the dimensions": lambda folder: architectures.make_embedder(folder, "bert", truncate_dim=16),
    "own maximum length": lambda folder: architectures.make_embedder(folder, "bert", max_seq_length=20),
}


@pytest.fixture(scope="module", params=SHAPES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Any:
    """The name of a shape, and artifacts/models/tiny with its variants."""
    root = tmp_path_factory.mktemp("shape")
    raw = json.loads(json.dumps(tiny_params))
    raw["models"] = {"tiny": {"source": {"path": str(SHAPES[request.param](root / "checkpoint"))}}}
    raw["sample"]["tasks"] = {}
    raw["optimize"] = {"onnx_O1": {"level": "O1"}}
    raw |= {"quantize": {}, "compress": {}, "calibrate": {}, "variants": {name: {} for name in ("torch", *VARIANTS)}}
    raw["benchmark"]["settings"] = {}
    raw["validate"]["overrides"] = {"onnx_qint8_static": LOOSE}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return request.param, build(root, "tiny")


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_passes(built: tuple[str, Path], variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = built
    monkeypatch.chdir(folder.parent.parent.parent)
    result = validate_in(tmp_path, folder, variant, folder / variant)
    assert result["verdict"] == "passed", [row for row in result["checks"] if not row["passed"]] or result["reason"]


@pytest.mark.parametrize("variant", ["onnx", "openvino"])
def test_sentence_transformers_own_class_gives_torchs_vectors(built: tuple[str, Path], variant: str) -> None:
    shape, folder = built
    texts = ["a short one", *documents()[:5]]
    torch, loaded = (loader.load(folder / name, name).model for name in ("torch", variant))
    for method in ("encode", "encode_query", "encode_document"):
        expected, got = (getattr(model, method)(texts, batch_size=3) for model in (torch, loaded))
        assert expected.shape == (6, {"dense": 24, "half the dimensions": 16}.get(shape, 32))
        assert np.abs(got - expected).max() < 1e-5 * max(1, np.abs(expected).max())
    if shape == "prompts":
        assert np.abs(torch.encode_query(texts) - torch.encode_document(texts)).max() > 0.01


# --- Prompts ---------------------------------------------------------------------------------------------


def test_a_text_gets_the_prompt_of_what_it_is_taken_for(tmp_path: Path) -> None:
    loaded = loader.load(architectures.make_embedder(tmp_path, "bert", prompts=PROMPTS), "torch")
    model = loaded.model
    short, long = "who won", "The committee met twice, and on the second evening it agreed on every point."
    rows = loaded.encode([long, short, long])
    assert loaded.has_prompts
    assert np.abs(rows[1] - model.encode_query([short])[0]).max() < 1e-6
    assert np.abs(rows[0] - model.encode_document([long])[0]).max() < 1e-6
    assert np.abs(rows[2] - rows[0]).max() < 1e-6
    assert np.abs(rows[1] - model.encode_document([short])[0]).max() > 1e-3


def test_calibration_reads_what_the_model_reads(tmp_path: Path) -> None:
    folder = architectures.make_embedder(tmp_path, "bert", prompts=PROMPTS)
    short, long = "who won", "The committee met twice, and on the second evening it agreed on every point."
    tokens = calibration.tokenize(folder, [short, long], {"input_ids"})
    model = loader.load(folder, "torch").model
    for text, name, features in zip((short, long), PROMPTS, tokens, strict=True):
        assert features["input_ids"].tolist() == model.preprocess([PROMPTS[name] + text])["input_ids"].tolist()
