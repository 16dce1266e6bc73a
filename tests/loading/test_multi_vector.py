"""MultiVectorEncoder: every variant is built, checked and measured as an embedder's is, token by token."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base import files
from foundry.benchmarking import planning, session
from foundry.benchmarking.settings import Effort
from foundry.int8 import search
from foundry.int8.settings import Budget, Calibrate
from foundry.onnx import static_int8
from tests.support import damage
from tests.support.checkpoints import EXPANDED_TO, make_multi_vector
from tests.support.projects import TINY_VARIANTS, kind_params
from tests.support.stages import build, measured_on, validate_in
from tests.support.texts import documents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """artifacts/models/late, every variant built."""
    root = tmp_path_factory.mktemp("late")
    checkpoint = make_multi_vector(root / "checkpoint")
    (root / "params.yaml").write_text(yaml.safe_dump(kind_params(tiny_params, "late", checkpoint)))
    return build(root, "late")


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_every_variant_is_validated(
    models: Path, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent.parent.parent)
    result = validate_in(tmp_path, models, variant, models / variant)
    failed = {row["check"]: row["value"] for row in result["checks"] if not row["passed"]}
    assert result["verdict"] == "passed", (failed, result["reason"])
    names = {row["check"] for row in result["checks"]}
    assert "texts_of_other_lengths" in names
    assert variant == "torch" or {"head_error", "runtime_min_cosine"} <= names


CHANGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "no skip list": ("2_MultiVectorMask/config.json", {"skiplist_words": []}, "texts_of_other_lengths"),
    "longer documents": ("sentence_bert_config.json", {"document_length": 60}, "texts_of_other_lengths"),
    "no expansion": ("sentence_bert_config.json", {"query_expansion": None}, "texts_of_other_lengths"),
    "another token": (
        "sentence_bert_config.json",
        {"query_expansion": {"strategy": "fixed", "length": EXPANDED_TO, "attend": False, "token": "the"}},
        "different_modules",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_tokens_that_are_read_otherwise_are_seen(
    models: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent.parent.parent)
    file, values, check = CHANGES[name]
    folder = Path(shutil.copytree(models / "onnx", tmp_path / "onnx"))
    (folder / file).write_text(json.dumps(files.read_json(folder / file) | values))
    result = validate_in(tmp_path, models, "onnx", folder)
    assert result["verdict"] == "failed"
    assert check in [row["check"] for row in result["checks"] if not row["passed"]]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (damage.constant(tokens=(30, 45)), "lengths_min_cosine"),
        (damage.rows_reversed((64, 10**6)), "consistency_min_cosine"),
        (damage.in_rows("word", damage.zeroed(117)), "wrong_rows"),
    ],
)
def test_damage_for_some_inputs_is_seen(
    models: Path, change: Any, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent.parent.parent)
    folder = Path(shutil.copytree(models / "onnx", tmp_path / "onnx"))
    damage.in_graph(folder, "onnx", change)
    result = validate_in(tmp_path, models, "onnx", folder)
    assert result["verdict"] == "failed"
    assert check in [row["check"] for row in result["checks"] if not row["passed"]]


def test_it_is_measured_and_searched(models: Path, tmp_path: Path) -> None:
    effort = Effort(minutes=0.01, rounds=3, interval=0.9, batch_sizes=[2], seconds=0.02)
    rows = planning.rows_to_measure(models, {"torch": "fp32", "onnx": "fp32"}, {})
    machine = {"host": "here", "instruction_sets": []}
    result = session.benchmark("late", models, rows, {"short": documents()[:4]}, machine, "tiny", effort)
    assert all(record["error"] is None for record in result["variants"].values())
    row = Calibrate(samples=8, budget=Budget(mean_cosine=0.3, recall_at_10=0.1))
    data = search.EvaluationData(*measured_on(models))
    texts = models.parent.parent / "texts/late/calibration.jsonl"
    static_int8.build("onnx_qint8_static", models / "onnx", row, texts, data, tmp_path / "searched")
    assert files.read_json(tmp_path / "searched/search.json")["chosen"] is not None
