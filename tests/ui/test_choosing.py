"""What may be chosen on a shared host: so much to download, so many models; and numbers that are numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base.errors import FoundryError
from foundry.ui import choosing, editing, estimates, limits
from foundry.ui.workspaces import Workspace


@pytest.fixture
def shared(project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project on a shared host, to which models are added without being there."""
    monkeypatch.setattr(editing, "add_model", lambda *arguments: "added")
    return Workspace(project(), shared=True)


def look(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Let every model look like this."""
    found = {"source": "org/name", "revision": None, "refused": None, "runs_code": False, "weights_mb": 1.0,
             "download_mb": 2.0, **changes}  # fmt: skip
    monkeypatch.setattr(choosing, "look", lambda *arguments: found)


def test_all_that_is_downloaded_counts(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch)
    assert choosing.add(shared, "mine", "org/name", "", []) == "added"
    look(monkeypatch, download_mb=limits.DOWNLOAD_MB + 1)  # of which the weights are little
    with pytest.raises(FoundryError, match="MB to download"):
        choosing.add(shared, "mine", "org/name", "", [])
    assert choosing.add(shared._replace(shared=False), "mine", "org/name", "", []) == "added"


def test_a_project_has_so_many_models(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch)
    monkeypatch.setattr(limits, "MODELS", 1)
    with pytest.raises(FoundryError, match="models are allowed"):
        choosing.add(shared, "mine", "org/name", "", [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1", [1]])
def test_what_is_no_size_is_the_usual_one(value: Any) -> None:
    assert choosing.weights(value) == estimates.BASE_MB


@pytest.mark.parametrize("value", [None, [], {}, 1, "int9"])
def test_what_is_no_family_is_said_in_a_line(value: Any) -> None:
    with pytest.raises(FoundryError, match="is no family of variants"):
        choosing.family(value)
