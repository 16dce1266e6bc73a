"""A MultiVectorEncoder through `dvc repro`, beside a model of another kind, and what is published of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from foundry_runtime import MultiVectorEmbedder

from benchmarks import projects
from foundry.base import files
from foundry.loading import loader
from tests.support.checkpoints import make_multi_vector
from tests.support.pipeline import dvc
from tests.support.projects import LOOSE
from tests.support.texts import documents

QUERIES = ["what is it", "a short question, with punctuation?", "x " * 30]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("forks_in_module")
def test_it_is_built_beside_another_kind_and_published(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    clone = projects.copy_working_tree(tmp_path / "project")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    kept = ["torch", "onnx", "onnx_qint8_static", "openvino"]
    raw["models"]["late"] = {"source": {"path": str(make_multi_vector(tmp_path / "late"))}}
    raw |= {"optimize": {}, "quantize": {}, "calibrate": {}, "compress": {}}
    raw["benchmark"]["settings"] = {}
    raw["variants"] = {name: {} for name in kept}
    raw["sample"]["tasks"] = {"search": {"beir": {"path": str(write_beir(tmp_path / "beir"))}}}
    raw["validate"]["overrides"] = {"onnx_qint8_static": {**LOOSE, "task_ratio": 0.5}}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    assert list(files.read_json(clone / "artifacts/published/late.json")["published"]) == kept
    hub = clone / "artifacts/hub/late"
    torch = loader.load(hub, "torch").model
    expected_queries, expected = torch.encode_query(QUERIES), torch.encode_document(documents()[:5])
    for variant in ("onnx", "openvino"):
        model = MultiVectorEmbedder(hub, variant)
        queries, vectors = model.encode_query(QUERIES), model.encode_document(documents()[:5])
        for given, torchs in zip([*queries, *vectors], [*expected_queries, *expected], strict=True):
            assert np.abs(given - torchs.numpy()).max() < 1e-4
        scores = torch.similarity(expected_queries, expected).numpy()
        assert np.abs(model.similarity(queries, vectors) - scores).max() < 1e-3
        loaded = loader.load(hub, variant).encode([*QUERIES, *documents()[:5]])
        assert np.abs(loaded - loader.load(hub, "torch").encode([*QUERIES, *documents()[:5]])).max() < 1e-4
    checks = files.read_json(clone / "artifacts/validation/late/onnx.json")["checks"]
    assert {"task_ratio_search", "recall_at_10", "head_error"} <= {check["check"] for check in checks}
    card = (hub / "README.md").read_text()
    assert "MultiVectorEncoder(" in card
    assert "MultiVectorEmbedder(" in card


def write_beir(folder: Path) -> Path:
    """A retrieval task in BEIR's layout: the first words of each document are its query."""
    (folder / "qrels").mkdir(parents=True)
    texts = documents()[:12]

    def lines(rows: list[str]) -> str:
        return "".join(json.dumps({"_id": str(number), "text": text}) + "\n" for number, text in enumerate(rows))

    (folder / "corpus.jsonl").write_text(lines(texts))
    (folder / "queries.jsonl").write_text(lines([" ".join(text.split()[:6]) for text in texts]))
    rows = "".join(f"{number}\t{number}\t1\n" for number in range(len(texts)))
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder
