"""The top of every command line: any error is one line, Ctrl-C is quiet; and what an import must not do."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.projects import ROOT


def run(folder: Path, raising: str) -> subprocess.CompletedProcess[str]:
    """A command line that fails, as a stage's file has it."""
    script = folder / "failing.py"
    script.write_text(
        "import errno, os, signal\n"
        "from pathlib import Path\n"
        "from foundry.base import command\n"
        "from foundry.base.errors import FoundryError\n"
        f"def main() -> None:\n    {raising}\n"
        "command.run(main)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "60", "TMPDIR": str(folder)}
    return subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("raise FoundryError('a [red] mistake of yours')", "error: a [red] mistake of yours"),
        ("Path('not/there').read_text()", "error: No such file or directory: not/there"),
        ("Path('failing.py').rename('no/such')", "error: No such file or directory: failing.py -> no/such"),
        (
            "raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'here')",
            "error: No space left on device: here. Free some space and run again; nothing half-written was left",
        ),
    ],
)
def test_an_error_that_a_person_can_mend_is_one_line(tmp_path: Path, raising: str, message: str) -> None:
    done = run(tmp_path, raising)
    assert (done.returncode, done.stderr, done.stdout) == (1, message + "\n", "")
    assert not list(tmp_path.glob("*.log"))


@pytest.mark.parametrize("has_artifacts", [True, False])
def test_any_other_error_is_one_line_that_names_its_log(tmp_path: Path, has_artifacts: bool) -> None:
    if has_artifacts:
        (tmp_path / "artifacts").mkdir()
    done = run(tmp_path, "raise ValueError('\\nfirst\\nsecond')")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    match = re.fullmatch(r"error: ValueError: first\. The traceback: (\S+\.log)", line)
    assert match, line
    log = tmp_path / match[1]
    assert log.parent == (tmp_path / "artifacts/logs" if has_artifacts else tmp_path)
    assert log.name.startswith("failing-2")
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.read_text().rstrip().endswith("second")
    if has_artifacts:
        [record] = map(json.loads, (tmp_path / "artifacts/runs.jsonl").read_text().splitlines())
        assert record["command"] == ["failing"]


def test_an_error_without_a_number_is_a_librarys_own(tmp_path: Path) -> None:
    done = run(tmp_path, "raise ConnectionError('the Hub is away')")
    assert re.fullmatch(r"error: ConnectionError: the Hub is away\. The traceback: \S+\n", done.stderr)


def test_control_c_is_quiet(tmp_path: Path) -> None:
    done = run(tmp_path, "os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stderr, done.stdout) == (128 + signal.SIGINT, "", "")


def test_importing_changes_nothing_and_imports_no_heavy_library() -> None:
    code = """
import gc, importlib, logging, os, pkgutil, sys
before = dict(os.environ), gc.get_threshold(), logging.getLogger().level
import foundry, stages
for package in (foundry, stages):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
after = dict(os.environ), gc.get_threshold(), logging.getLogger().level
assert before == after, list(zip(before, after))
# They read their variables when they are imported: only after `run` has set these.
heavy = {"torch", "transformers", "huggingface_hub", "tokenizers", "sentence_transformers", "optimum"}
assert not heavy & {*sys.modules}, heavy & {*sys.modules}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_holds_for_the_process_is_set_before_the_command_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "import gc; print(gc.get_threshold()[0], os.environ['TRANSFORMERS_VERBOSITY'])")
    assert done.stdout == "200000 error\n", done.stderr
