"""Versions: the end of a run records one, a look at it none; what a killed git left does not matter, or is said."""

import subprocess
from pathlib import Path

import pytest

from foundry.ui import jobs, version_history
from foundry.ui.workspaces import GIT_USER, Workspace
from tests.support.projects import ROOT
from tests.support.runs import wait


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A user's folder on a shared host; the code is that of this working tree."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'runtime'}")
    root = tmp_path / "user"
    root.mkdir()
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (root / ".gitignore").write_text("/.dvc/tmp\n")
    for command in (("init", "-q"), ("add", "-A"), (*GIT_USER, "commit", "-qm", "The project as it came")):
        subprocess.run(["git", *command], cwd=root, check=True)
    return Workspace(root, shared=True)


def git(workspace: Workspace, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=workspace.root, capture_output=True, text=True, check=True)
    return done.stdout


def run(workspace: Workspace, content: str) -> jobs.Job:
    """A run that writes dvc.lock."""
    jobs.start(workspace, ["sh", "-c", f"echo '{content}' > dvc.lock"], f"make {content}")
    return wait(workspace)


def said(workspace: Workspace) -> list[str]:
    return [shown.partition(": ")[2].partition(" ")[2] for shown, _ in version_history.versions(workspace)]


def test_the_end_of_a_run_records_a_version_once(workspace: Workspace) -> None:
    run(workspace, "stages: {}")
    run(workspace, "stages: {}")  # nothing changed
    run(workspace, "schema: '2.0'")
    assert said(workspace) == ["make schema: '2.0'", "make stages: {}"]
    assert git(workspace, "status", "--porcelain") == ""


def test_a_project_of_ones_own_gets_no_commit(workspace: Workspace) -> None:
    run(workspace._replace(shared=False), "stages: {}")
    assert said(workspace) == []


def test_a_look_writes_nothing(workspace: Workspace) -> None:
    pytest.importorskip("gradio")
    from foundry.ui import watch_tab

    run(workspace, "stages: {}")
    (workspace.root / "dvc.lock").write_text("schema: '2.0'\n")
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")}
    watch_tab.refresh(workspace, "")
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")} == before
    assert said(workspace) == ["make stages: {}"]


def test_a_lock_of_gits_index_is_not_in_the_way(workspace: Workspace) -> None:
    (workspace.root / ".git/index.lock").touch()
    assert "not_recorded" not in run(workspace, "stages: {}").record
    assert said(workspace) == ["make stages: {}"]


def test_another_lock_is_said_in_a_line(workspace: Workspace) -> None:
    (workspace.root / ".git/HEAD.lock").touch()
    job = run(workspace, "stages: {}")
    assert job.record["exit_code"] == 0
    why = job.record["not_recorded"]
    assert ".git/HEAD.lock" in why
    assert "who runs this host may remove it" in why
    assert str(workspace.root) not in why
    assert "\n" not in why
    pytest.importorskip("gradio")
    from foundry.ui import watch_tab

    assert "this version is not recorded" in watch_tab.refresh(workspace, "")[1]
    (workspace.root / ".git/HEAD.lock").unlink()
    assert "not_recorded" not in run(workspace, "stages: {}").record  # the next run records what the last one did
    assert said(workspace) == ["make stages: {}"]
