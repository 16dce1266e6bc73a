"""`dvc repro` on models with a Router beside one without."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from foundry.loading import loader
from tests.support import routers
from tests.support.pipeline import dvc, ran
from tests.support.projects import LOOSE
from tests.support.texts import documents

KEPT = ["torch", "onnx", "onnx_O2", "onnx_qint8_static", "openvino"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("forks_in_module")
def test_models_with_a_router_build_beside_one_without(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    clone = projects.copy_working_tree(tmp_path / "project")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] |= {
        "free": {"source": {"path": str(routers.make_inference_free(tmp_path / "free"))}},
        "heads": {"source": {"path": str(routers.make_with_heads(tmp_path / "heads"))}},
    }
    raw |= {"quantize": {}, "calibrate": {}, "compress": {}}
    raw["variants"] = {name: {} for name in KEPT}
    raw["sample"]["tasks"] = {}
    raw["validate"]["overrides"] = {"onnx_qint8_static": LOOSE}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    texts = [*documents()[:4], "a short one"]
    for model in raw["models"]:
        assert list(files.read_json(clone / f"artifacts/published/{model}.json")["published"]) == KEPT
        hub = clone / "artifacts/hub" / model
        torch, onnx = loader.load(hub, "torch"), loader.load(hub, "onnx")
        for method in ("encode_query", "encode_document"):
            expected, rows = (each.embed(texts, 8, method) for each in (torch, onnx))  # type: ignore[attr-defined]
            assert abs(rows - expected).max() < 1e-4
            assert np.array_equal(rows, expected) or (model, method) != ("free", "encode_query")
    page = (clone / "artifacts/report/report.md").read_text()
    assert all(model in page for model in raw["models"])
    assert ran(dvc(clone, "repro")) <= {"host"}
