"""The fork server of the tests: a stage that it runs is, for its caller, a process as any other."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.fork_server import ForkServer

STAGE = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["COLOUR"], __name__, sys.path[0] == os.getcwd(), sys.stdin.read())
what = sys.argv[1]
if what == "number":
    sys.exit(3)
elif what == "message":
    sys.exit("this is wrong")
elif what == "defect":
    raise KeyError("a defect")
elif what == "kill":
    os.kill(os.getpid(), 9)
"""
LOADED = "import sys\nprint('torch' in sys.modules)"
SLEEPS = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
SPAWNS = """
import multiprocessing, os

def child(pipe):
    pipe.send((os.getcwd(), __name__))

if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=child, args=(there,))
    process.start()
    print(here.recv())
    process.join()
    print(process.exitcode)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of a few stages."""
    (tmp_path / "stages").mkdir()
    for name, code in {"__init__": "", "echo": STAGE, "loaded": LOADED, "sleeps": SLEEPS, "spawns": SPAWNS}.items():
        (tmp_path / f"stages/{name}.py").write_text(code)
    return tmp_path


def run(
    python: str, server: ForkServer, folder: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": server.path, "COLOUR": "green", **variables}
    return subprocess.run(
        [python, *words], cwd=folder, env=environment, input="from a pipe", capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("what", ["nothing", "number", "message", "defect"])
def test_a_stage_does_the_same_as_in_a_process_of_its_own(fork_server: ForkServer, folder: Path, what: str) -> None:
    words = ("-m", "stages.echo", what, "two words")
    forked, real = (run(python, fork_server, folder, *words) for python in ("python", sys.executable))
    assert (forked.returncode, forked.stdout) == (real.returncode, real.stdout)
    assert forked.stdout
    assert forked.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


@pytest.mark.parametrize("words", [("root",), ("init", "--no-scm"), ("no-such-command",)], ids=" ".join)
def test_dvc_does_the_same_as_in_a_process_of_its_own(fork_server: ForkServer, folder: Path, words: tuple[str]) -> None:
    real = run(str(Path(sys.executable).with_name("dvc")), fork_server, folder, *words)
    shutil.rmtree(folder / ".dvc", ignore_errors=True)
    forked = run("dvc", fork_server, folder, *words)
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)
    assert forked.stdout + forked.stderr


def test_foundry_is_that_of_the_folder_with_its_libraries(fork_server: ForkServer, folder: Path) -> None:
    (folder / "foundry").mkdir()
    (folder / "foundry/__main__.py").write_text(LOADED)
    assert run("foundry", fork_server, folder).stdout == "True\n"


def test_a_killed_stage_is_told_as_a_shell_tells_it(fork_server: ForkServer, folder: Path) -> None:
    assert run("python", fork_server, folder, "-m", "stages.echo", "kill").returncode == 128 + 9


def test_libraries_are_there_unless_a_variable_that_they_read_differs(fork_server: ForkServer, folder: Path) -> None:
    assert run("python", fork_server, folder, "-m", "stages.loaded").stdout == "True\n"
    other = run("python", fork_server, folder, "-m", "stages.loaded", HF_ENDPOINT="http://127.0.0.1:1")
    assert other.stdout == "False\n"
    assert run("python", fork_server, folder, "-c", LOADED).stdout == "False\n"


def test_what_a_stage_spawns_is_in_its_folder(fork_server: ForkServer, folder: Path) -> None:
    done = run("python", fork_server, folder, "-m", "stages.spawns")
    assert done.stdout == f"{(str(folder), '__mp_main__')}\n0\n", done.stderr


def test_a_stage_ends_with_its_caller(fork_server: ForkServer, folder: Path) -> None:
    environment = {**os.environ, "PATH": fork_server.path}
    with subprocess.Popen(["python", "-m", "stages.sleeps"], cwd=folder, env=environment) as caller:
        pid = folder / "pid"
        end = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and time.monotonic() < end:
            time.sleep(0.05)
        stage = int(pid.read_text())
        assert stage != caller.pid
        assert psutil.pid_exists(stage)
        caller.kill()
    end = time.monotonic() + 10
    while psutil.pid_exists(stage) and time.monotonic() < end:
        time.sleep(0.05)
    assert not psutil.pid_exists(stage)
