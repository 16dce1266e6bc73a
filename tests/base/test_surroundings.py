"""A stage ends with the DVC that started it, however that was started, and also when it has ended before."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from foundry.base import surroundings
from tests.support.projects import ROOT

STAGE = """
import pathlib, sys, time
from foundry.base import command
def main(out: pathlib.Path) -> None:
    pathlib.Path(sys.argv[1] + ".began").touch()
    time.sleep(float(pathlib.Path("seconds").read_text()))
    out.write_text("done")
command.run(main)
"""


@pytest.mark.parametrize(
    ("words", "is_dvc"),
    [
        (["dvc", "repro"], True),
        (["/venv/bin/dvc", "repro"], True),
        (["/venv/bin/python3.11", "/venv/bin/dvc", "repro"], True),
        (["python", "-m", "dvc", "repro"], True),
        (["python3", "-mdvc"], True),
        (["python3", "-I", "-X", "dev", "-W", "ignore", "-um", "dvc.__main__", "repro"], True),
        (["python", "-u", "/lib/dvc/__main__.py"], True),
        (["python", "-m", "pytest", "dvc"], False),
        (["python", "-c", "print(1)", "dvc"], False),
        (["python", "work.py", "dvc"], False),
        (["sh", "-c", "dvc repro"], False),
        (["vim", "dvc"], False),
        ([], False),
    ],
)
def test_dvc_is_known_by_its_command_line(words: list[str], is_dvc: bool) -> None:
    assert surroundings.runs_dvc(words) == is_dvc


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of DVC whose stage takes as many seconds as a file says."""
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text("stages: {wait: {cmd: python stage.py out, outs: [out]}}\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return tmp_path


def environment(**variables: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, **variables}


def stages_in(folder: Path) -> list[psutil.Process]:
    matching = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and "stage.py" in process.cmdline():
                matching.append(process)
        except psutil.Error:
            continue
    return matching


def wait_until(condition: Callable[[], object], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return bool(value)


@pytest.mark.parametrize("started", [["-m", "dvc"], ["-X", "dev", "-c", "from dvc.cli import main; main(['repro'])"]])
def test_a_stage_ends_with_its_dvc(project: Path, started: list[str]) -> None:
    """The second is DVC within another program, which DVC's own notes name."""
    (project / "seconds").write_text("600")
    command = [sys.executable, *started, *(["repro"] if started[-1] == "dvc" else [])]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.DEVNULL) as dvc:
        assert wait_until((project / "out.began").exists)
        dvc.kill()
    assert wait_until(lambda: not stages_in(project), 30)


def test_a_stage_whose_dvc_was_killed_before_it_watched_ends(project: Path) -> None:
    """What such a stage finds: the variable that DVC sets, and a note by a process that is no more."""
    (project / "seconds").write_text("0")
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    note = {"write": {str(project / "out"): {"pid": gone.pid, "cmd": "dvc repro"}}, "read": {}}
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(note))
    command = [sys.executable, "stage.py", "out"]
    variables = environment(DVC_STAGE="wait", DVC_ROOT=str(project))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the DVC that started wait has ended, and so this stage ends, too\n"
    assert not (project / "out.began").exists()


def test_a_later_dvc_is_not_the_one_that_started_a_stage(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "wait")
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.setattr(sys, "argv", ["stage.py", str(project / "out")])
    monkeypatch.chdir(project.parent)  # where no DVC has its notes
    (project / ".dvc/tmp").mkdir(exist_ok=True)

    def noted(pid: int, out: str = "out") -> psutil.Process | None:
        note = {"write": {str(project / out): {"pid": pid, "cmd": "dvc repro"}}, "read": {}}
        (project / ".dvc/tmp/rwlock").write_text(json.dumps(note))
        process: psutil.Process | None = surroundings.writer()
        return process

    with subprocess.Popen(["sleep", "600"]) as later:
        assert noted(later.pid) is None  # it began after this process
        later.kill()
    assert noted(os.getppid()) == psutil.Process(os.getppid())
    assert noted(os.getppid(), "another") is None  # it writes something else
    (project / ".dvc/tmp/rwlock").write_text("{")
    assert surroundings.writer() is None


def test_by_hand_a_stage_runs_without_dvc(project: Path) -> None:
    (project / "seconds").write_text("0")
    variables = environment()
    variables.pop("DVC_STAGE", None)
    subprocess.run([sys.executable, "stage.py", "out"], cwd=project, env=variables, check=True)
    assert (project / "out").read_text() == "done"
