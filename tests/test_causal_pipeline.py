"""A reranker of a language model through `dvc repro`: built, checked, measured, published, and run from there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from foundry.loading import loader
from tests.support import causal
from tests.support.fork_server import ForkServer
from tests.support.pipeline import dvc
from tests.support.projects import LOOSE, TINY_VARIANTS
from tests.support.texts import documents

PROMPT = "Find what the police did"
NO_FUSIONS = "ONNX Runtime's transformers optimizer has no fusions for architecture 'qwen3'"


@pytest.fixture
def forks(fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that DVC starts in this test are forks of the server."""
    monkeypatch.setenv("PATH", fork_server.path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("forks")
@pytest.mark.skipif(loader.has_optimum(), reason="causal rerankers are built with the default toolchain")
def test_a_causal_reranker_is_built_checked_measured_and_published(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    from foundry_runtime import Reranker

    clone = projects.copy_working_tree(tmp_path / "project")
    checkpoint = causal.make_reranker(tmp_path / "checkpoint", prompts={"own": PROMPT}, default_prompt_name="own")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] = {"tiny": {"source": {"path": str(checkpoint)}}}
    raw["validate"]["overrides"] = {name: LOOSE | {"min_cosine": -1.0} for name in TINY_VARIANTS if "qint8" in name}
    raw["sample"]["tasks"] = {}
    # Of a query that fills the model's length, no passage is read, and none is better than another.
    raw["sample"]["validation"]["groups"] = {"short": {"count": 40, "cut": "sentence"}}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    receipt = files.read_json(clone / "artifacts/published/tiny.json")
    assert list(receipt["published"]) == [name for name in TINY_VARIANTS if name != "onnx_O2"], receipt["left_out"]
    assert NO_FUSIONS in receipt["left_out"]["onnx_O2"]
    assert (clone / "artifacts/report/index.html").is_file()
    hub = clone / "artifacts/hub/tiny"
    texts = documents()[:4]
    pairs = [(texts[0][:40], text[:200]) for text in texts]
    expected = np.asarray(loader.load(hub, "torch").model.predict(pairs))
    for variant in ("onnx", "openvino"):
        assert abs(loader.load(hub, variant).model.predict(pairs) - expected).max() < 1e-5
        assert abs(Reranker(hub, variant).predict(pairs) - expected).max() < 1e-5
    other = Reranker(hub, "onnx").predict(pairs, prompt="Find a court")
    assert abs(other - expected).max() > 1e-3
    assert list(Reranker(hub).rank(texts[0][:40], texts)[0]) == ["corpus_id", "score"]
