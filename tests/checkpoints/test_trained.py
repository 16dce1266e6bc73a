"""Trained models of other kinds than the default one: built and validated by the committed thresholds."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.validation import results
from tests.support import trained
from tests.support.projects import ROOT
from tests.support.stages import build, validate_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def verdicts(root: Path, name: str, model: dict[str, Any], variants: list[str]) -> dict[str, Any]:
    """Build these variants of a model by the committed params.yaml, and validate them."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    skip = [key for key in raw["variants"] if key not in ("torch", "onnx", "openvino", *variants)]
    raw["models"] = {name: {**model, "skip": skip}}
    (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    folder = build(root, name)
    return {variant: validate_in(root, folder, variant, folder / variant) for variant in variants}


def failures(verdict: Any) -> str | None:
    return results.why_failed(verdict["checks"]) or verdict["reason"]


def test_a_splade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked-language head of 30,522 words, trained for retrieval."""
    monkeypatch.syspath_prepend(trained.splade(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = {"source": {"package": "cognition", "path": "model"}, "kind": "SparseEncoder"}
    variants = ["onnx", "onnx_O3", "onnx_O4", "openvino"]
    for variant, verdict in verdicts(tmp_path, "splade", model, variants).items():
        assert verdict["verdict"] == "passed", (variant, failures(verdict))
        values = {check["check"]: check["value"] for check in verdict["checks"]}
        assert 0.99 < values["active_dimensions"] <= 1.0
        assert values["task_ratio_lee"] > 0.97
