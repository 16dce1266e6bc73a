"""Sides of Routers of other kinds: every variant is built, validated against the other side, and published."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.loading import loader
from tests.support import publishing, routers
from tests.support.projects import LOOSE, TINY_VARIANTS
from tests.support.stages import build
from tests.support.texts import documents

pytestmark = pytest.mark.slow

# A transformer for each side of a SparseEncoder; documents beside a table of vectors, or of weights; one of two heads.
MAKERS: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "sparse": (routers.make_two_sparse, "query"),
    "static": (routers.make_static_queries, "document"),
    "free": (routers.make_inference_free, "document"),
    "heads": (routers.make_with_heads, "query"),
}
TEXTS = [*documents()[:6], "a short query", "", "the the the"]


@pytest.mark.parametrize("name", MAKERS)
def test_a_side_is_built_validated_and_published(
    name: str, tmp_path: Path, tiny_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import foundry_runtime
    from foundry_runtime.model import CLASSES

    make, role = MAKERS[name]
    checkpoint = make(tmp_path / "checkpoint")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] = {name: {"source": {"path": str(checkpoint)}, "side": role}}
    raw["sample"]["tasks"] = {}
    raw["validate"]["overrides"] = {name: LOOSE for name in TINY_VARIANTS if "qint8" in name or "fp16" in name}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    model = build(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    publishing.prepare(tmp_path, model, name)
    publishing.run(tmp_path, name, model)
    for variant in TINY_VARIANTS:
        result = files.read_json(tmp_path / f"validation/{name}/{variant}.json")
        checks = {row["check"]: row for row in result["checks"]}
        assert result["verdict"] == "passed", [row for row in checks.values() if not row["passed"]]
        assert {"between_sides_recall_at_10", "between_sides_order"} <= checks.keys()
        # A side has one head, which its graph ends with.
        assert variant == "torch" or ("head_error" in checks and result["runtime"]["refuses"] is None)
    hub = tmp_path / "hub" / name
    assert set(files.read_json(hub / "foundry.json")["variants"]) == set(TINY_VARIANTS)
    whole = loader.load(checkpoint, "torch")
    expected = rows_of(getattr(whole.model, f"encode_{role}")(TEXTS))
    runtime = getattr(foundry_runtime, CLASSES[whole.kind])(hub, "onnx_O2")
    assert abs(rows_of(getattr(runtime, f"encode_{role}")(TEXTS)) - expected).max() < 1e-4
    onnx = loader.load(hub, "onnx_O2")
    assert abs(rows_of(getattr(onnx.model, f"encode_{role}")(TEXTS)) - expected).max() < 1e-4


def rows_of(embeddings: Any) -> np.ndarray:
    return np.asarray(embeddings.to_dense() if hasattr(embeddings, "to_dense") else embeddings)
