"""How far a project is: DVC's own stages, by what a run said of them and what dvc.lock has."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.ui import estimates, jobs, progress
from foundry.ui.jobs import Event, Job
from foundry.ui.workspaces import Workspace
from tests.support.projects import ROOT


def job(folder: Path, running: bool = False, **changes: Any) -> Job:
    record: Any = {
        "command": ["foundry", "build"], "what": "build", "started": 0.0, "ended": None if running else 100.0,
        "exit_code": None if running else 0, "stopped": False, **changes,
    }  # fmt: skip
    return Job(folder, record, running)


def events(*rows: tuple[str, str]) -> list[Event]:
    return [{"stage": stage, "state": state, "at": 10.0 * n, "offset": n} for n, (stage, state) in enumerate(rows)]


def states(rows: list[Event], of: Job) -> dict[str, str]:
    return {name: state for name, (state, _) in progress.states_of(rows, of).items()}


def test_the_stages_are_those_that_dvc_lists() -> None:
    listed = subprocess.run(["dvc", "stage", "list", "--name-only"], cwd=ROOT, capture_output=True, text=True)
    assert {stage.name for stage in progress.stages(ROOT)} == {*listed.stdout.split()}


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    rows = events(("configure", "running"), ("download@m", "done"), ("sample@m", "cached"), ("embed@m", "running"))
    assert states(rows, job(tmp_path, running=True)) == {
        "configure": "done", "download@m": "done", "sample@m": "cached", "embed@m": "running",
    }  # fmt: skip
    assert progress.states_of(rows, job(tmp_path, running=True))["configure"][1] == 10.0


def test_a_run_that_failed_and_went_on_with_others(tmp_path: Path) -> None:
    rows = events(
        ("export@m-onnx", "running"), ("export@m-onnx", "failed"), ("report", "blocked"), ("report", "running")
    )
    assert states(rows, job(tmp_path, exit_code=1)) == {"export@m-onnx": "failed", "report": "done"}
    assert states(rows[:1], job(tmp_path, exit_code=1)) == {"export@m-onnx": "failed"}


def test_a_run_that_was_stopped(tmp_path: Path) -> None:
    rows = events(("download@m", "done"), ("export@m-onnx", "running"), ("export@m-onnx", "failed"),
                  ("report", "blocked"), ("optimize@m-onnx_O2", "running"))  # fmt: skip
    assert states(rows, job(tmp_path, stopped=True, exit_code=130)) == {
        "download@m": "done", "export@m-onnx": "stopped", "report": "waiting", "optimize@m-onnx_O2": "stopped",
    }  # fmt: skip
    killed = job(tmp_path, ended=None, exit_code=None)
    assert states(rows[:2], killed)["export@m-onnx"] == "stopped"


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return Workspace(tmp_path)


def test_what_the_command_line_built_is_done(project: Workspace) -> None:
    now = progress.read(project)
    assert now.job is None
    assert {row.state for row in now.rows} == {"waiting"}
    (project.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  validate@minilm-onnx_O4:\n    cmd: x\n    outs:\n"
        "    - {path: artifacts/validation/minilm/onnx_O4.json, md5: a, size: 1}\n  download@minilm:\n    cmd: x\n"
        "    outs:\n    - {path: artifacts/models/minilm/torch, md5: a.dir, size: 1}\n"
    )
    files.write_json(
        project.root / "artifacts/validation/minilm/onnx_O4.json", {"verdict": "skipped", "reason": "no fp16"}
    )
    rows = {row.stage.name: row for row in progress.read(project).rows}
    assert (rows["validate@minilm-onnx_O4"].state, rows["validate@minilm-onnx_O4"].note) == ("skipped", "no fp16")
    assert rows["download@minilm"].state == "waiting"  # in dvc.lock, and its output is not there


def test_a_file_that_cannot_be_read_is_one_line(project: Workspace) -> None:
    project.params.write_text("models: [")
    with pytest.raises(FoundryError):
        progress.stages(project.root)


def test_time_left_is_by_what_a_stage_took_here_before(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [progress.Row(stage, "waiting", "", None) for stage in progress.stages(project.root)]
    before = progress.seconds_left(project, rows, 0.0)
    assert 400 < before < 2000
    monkeypatch.setattr(jobs, "history", lambda _: {"benchmark@minilm": 5.0})
    assert progress.seconds_left(project, rows, 0.0) == pytest.approx(before - 285)
    assert [estimates.duration(seconds) for seconds in (3, 61, 600, 9000)] == [
        "about 5 seconds", "about 60 seconds", "about 10 minutes", "about 2.5 hours",
    ]  # fmt: skip
