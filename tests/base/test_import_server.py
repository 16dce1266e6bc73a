"""A stage below DVC is a fork of a process that has the libraries, and for its caller a process as any other."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.projects import ROOT

# A library that nothing else here imports, and what DVC is to a stage: an ancestor whose file has that name.
STAGE = """
import os, pathlib, sys, time
is_loaded = "wave" in sys.modules
from foundry.base import command
from foundry.base.errors import FoundryError

def main(what: str, word: str) -> None:
    is_here = sys.path[0] == os.getcwd()
    print(is_loaded, word, os.getcwd(), sys.argv[1:], __name__, is_here, sys.stdin.read(), flush=True)
    state = getattr(sys, "left_by_a_stage", None)
    sys.left_by_a_stage = word
    if state:
        sys.exit(f"{state} left something behind")
    if what == "number":
        sys.exit(3)
    elif what == "mistake":
        raise FoundryError("this is wrong")
    elif what == "kill":
        os.kill(os.getpid(), 9)
    elif what == "sleep":
        pathlib.Path("pid").write_text(str(os.getpid()))
        time.sleep(600)

if __name__ == "__main__":
    command.run(main, libraries=["wave"])
"""
DVC = """
import subprocess, sys
for what in sys.argv[1:]:
    done = subprocess.run([sys.executable, "-m", "stages.stage", what, "two words"], input="from a pipe", text=True)
    print("code", done.returncode, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a stage and a `dvc` that runs it; sockets stand in a folder of their own."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/stage.py").write_text(STAGE)
    (tmp_path / "foundry").symlink_to(ROOT / "foundry")
    for name in ("dvc", "no_dvc"):
        (tmp_path / name).write_text(DVC)
    with tempfile.TemporaryDirectory(prefix="sockets-") as sockets:  # the address of a socket must be short
        monkeypatch.setenv("TMPDIR", sockets)
        yield tmp_path


WHERE = """
from foundry.base import command

def main(what: str, word: str) -> None:
    import foundry_runtime
    print("the runtime of", foundry_runtime.__file__, flush=True)

if __name__ == "__main__":
    command.run(main, libraries=["foundry_runtime"])
"""


def servers(folder: Path) -> list[psutil.Process]:
    """The servers that were started from a folder, with their guards and forks."""
    running = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "foundry.base.import_server" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(folder):
            running.append(process)
    return running


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def run(folder: Path, program: str, *stages: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, program, *stages]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_a_stage_has_the_runtime_of_its_folder_and_not_the_one_that_is_installed(folder: Path) -> None:
    (folder / "stages/__init__.py").write_bytes((ROOT / "stages/__init__.py").read_bytes())
    (folder / "stages/stage.py").write_text(WHERE)
    (folder / "runtime/foundry_runtime").mkdir(parents=True)
    (folder / "runtime/foundry_runtime/__init__.py").touch()
    for program in ("dvc", "no_dvc"):
        done = run(folder, program, "nothing")
        assert f"the runtime of {folder}/runtime/foundry_runtime/__init__.py" in done.stdout, done.stderr


def test_below_dvc_stages_find_the_libraries_and_end_as_they_would_alone(folder: Path) -> None:
    stages = ("nothing", "number", "mistake", "kill", "nothing")
    forked, alone = run(folder, "dvc", *stages), run(folder, "no_dvc", *stages)
    assert alone.stdout.count("False two words") == 5
    assert forked.stdout == alone.stdout.replace("False two words", "True two words").replace("code -9", "code 137")
    assert "from a pipe" in forked.stdout
    assert forked.stderr == alone.stderr == "error: this is wrong\n"


def test_the_server_ends_with_dvc(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "dvc", "sleep"], cwd=folder, stdout=subprocess.DEVNULL) as dvc:
        assert within(60, (folder / "pid").exists)
        assert within(5, lambda: len(servers(folder)) == 3)  # the server, a guard, and the stage
        dvc.kill()
    assert within(20, lambda: not servers(folder))
    assert within(5, lambda: not psutil.pid_exists(int((folder / "pid").read_text())))


def test_a_stage_that_is_killed_takes_its_fork_with_it_and_the_server_goes_on(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "dvc", "sleep", "nothing"], cwd=folder, stdout=subprocess.PIPE) as dvc:
        assert within(60, (folder / "pid").exists)
        fork = int((folder / "pid").read_text())
        [stage] = psutil.Process(dvc.pid).children()
        assert stage.pid != fork
        stage.send_signal(signal.SIGKILL)
        said, _ = dvc.communicate(timeout=60)
    assert within(5, lambda: not psutil.pid_exists(fork))
    assert said.count(b"True two words") == 2
    assert said.endswith(b"code 0\n")


def test_in_another_environment_there_is_another_server(folder: Path) -> None:
    script = (folder / "dvc").read_text().replace('"from a pipe"', '"from a pipe", env=dict(os.environ, HF_X=what)')
    (folder / "dvc").write_text("import os\n" + script)
    with subprocess.Popen([sys.executable, "dvc", "nothing", "sleep"], cwd=folder, stdout=subprocess.DEVNULL) as dvc:
        assert within(60, (folder / "pid").exists)
        assert len(list((Path(os.environ["TMPDIR"]) / f"foundry-{os.getuid()}").iterdir())) == 2
        dvc.kill()
    assert within(20, lambda: not servers(folder))


@pytest.mark.parametrize("hindrance", ["open to others", "library"])
def test_where_there_can_be_no_server_the_stage_runs_in_its_own_process(folder: Path, hindrance: str) -> None:
    if hindrance == "open to others":
        place = Path(os.environ["TMPDIR"]) / f"foundry-{os.getuid()}"
        place.mkdir()
        place.chmod(0o777)
    else:
        stage = folder / "stages/stage.py"
        stage.write_text(stage.read_text().replace('["wave"]', '["no_such_library"]'))
    done = run(folder, "dvc", "nothing", "number")
    assert done.stdout.count("False two words") == 2
    assert done.stdout.endswith("code 3\n")
