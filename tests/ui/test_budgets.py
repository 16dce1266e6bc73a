"""A variant within a budget, as a row of params.yaml."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from foundry.base.errors import FoundryError
from foundry.params import resolving
from foundry.ui import budgets, editing, limits
from foundry.ui.workspaces import Workspace
from tests.support.projects import ROOT

OPENVINO, ONNX = budgets.KINDS
BUDGET = {"mean_cosine": 0.999, "min_cosine": 0.99}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A folder with the settings of this project, whose comments and anchors an edit must keep."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return Workspace(tmp_path)


def test_a_person_chooses_a_budget(workspace: Workspace) -> None:
    assert budgets.add(workspace, OPENVINO, "999", BUDGET, 30) == "openvino_qint8_999"
    assert budgets.add(workspace, ONNX, "995", {"mean_cosine": 0.995, "min_cosine": 0}, 60) == "onnx_qint8_static_995"
    params = editing.read(workspace)
    assert {"openvino_qint8_999", "onnx_qint8_static_995"} <= {*params.variant_names}
    asked = resolving.budget(params, "openvino_qint8_999")
    assert asked is not None
    assert asked.model_dump(exclude_none=True) == BUDGET
    assert params.calibrate["openvino_qint8_999"].search.minutes == 30
    other = resolving.budget(params, "onnx_qint8_static_995")
    assert other is not None
    assert other.model_dump(exclude_none=True) == {"mean_cosine": 0.995}
    before = workspace.params.read_bytes()
    with pytest.raises(FoundryError, match="take another ending"):
        budgets.add(workspace, OPENVINO, "999", BUDGET, 30)
    assert workspace.params.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "ending", "values", "minutes", "message"),
    [
        ("x", "999", BUDGET, 60, "is no kind"), (None, "999", BUDGET, 60, "is no kind"),
        (["x"], "999", BUDGET, 60, "is no kind"), (OPENVINO, "a.b", BUDGET, 60, "is no name"),
        (OPENVINO, "x: {}\n  y", BUDGET, 60, "is no name"),
        (OPENVINO, "999", {**BUDGET, "min_cosine": 7}, 60, "expected"),
        (OPENVINO, "999", {**BUDGET, "mean_cosine": "1"}, 60, "expected"),
        (OPENVINO, "999", {**BUDGET, "mean_cosine": float("nan")}, 60, "expected"),
        (OPENVINO, "999", BUDGET, 0, "expected"), (OPENVINO, "999", BUDGET, 1e9, "expected"),
        (OPENVINO, "999", BUDGET, True, "expected"), (OPENVINO, "999", BUDGET, None, "expected"),
    ],
)  # fmt: skip
def test_what_is_no_budget_changes_nothing(
    workspace: Workspace, kind: Any, ending: Any, values: Any, minutes: Any, message: str
) -> None:
    before = workspace.params.read_bytes()
    with pytest.raises(FoundryError, match=message):
        budgets.add(workspace, kind, ending, values, minutes)
    assert workspace.params.read_bytes() == before


def test_a_search_on_a_shared_host_is_short(workspace: Workspace) -> None:
    with pytest.raises(FoundryError, match="minutes here"):
        budgets.add(workspace._replace(shared=True), OPENVINO, "999", BUDGET, limits.SHARED_SEARCH_MINUTES + 1)
