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


def run(folder: Path, raising: str, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
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
    limited = ["bash", "-c", f'ulimit -v {limit_bytes // 1024}; exec "$@"', "bash"] if limit_bytes else []
    command = [*limited, sys.executable, str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


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


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("raise MemoryError", "not enough memory (MemoryError: no message)"),
        ("raise MemoryError('std::bad_alloc')", "not enough memory (MemoryError: std::bad_alloc)"),
        (
            "raise RuntimeError('[enforce fail at alloc.cpp] DefaultCPUAllocator: can\\'t allocate memory: 9 bytes')",
            "not enough memory (RuntimeError: [enforce fail",
        ),
        (
            "raise ImportError('libtorch.so: failed to map segment from shared object')",
            "not enough memory (ImportError",
        ),
        ("raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))", "not enough memory (OSError: [Errno 12] Cannot"),
        (
            'raise RuntimeError("can\'t start new thread")',
            "no thread or process can be started (can't start new thread)",
        ),
        ("raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))", "no thread or process can be started"),
        (
            "__import__('ctypes').CDLL('libnot_there.so.1')",
            "a library cannot be loaded: libnot_there.so.1: cannot open",
        ),
        (
            "raise ImportError('/lib/libm.so.6: version `GLIBC_2.99\\' not found (required by x.so)')",
            "a library cannot be loaded: /lib/libm.so.6: version",
        ),
        (
            "raise ImportError('x.so: failed to map segment from shared object: Operation not permitted')",
            "a library cannot be loaded: x.so: failed to map segment",
        ),
        ("import not_installed", "the package not_installed is not installed here: `make .venv/installed`"),
        # As transformers has it, which imports its modules late.
        (
            "try:\n        raise ImportError('libgomp.so.1: cannot open shared object file')\n"
            "    except ImportError as error:\n        raise RuntimeError('Failed to import x') from error",
            "a library cannot be loaded: libgomp.so.1: cannot open shared object file",
        ),
    ],
)
def test_what_this_machine_lacks_is_one_line_and_no_log(tmp_path: Path, raising: str, message: str) -> None:
    done = run(tmp_path, raising)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {message}"), line
    assert not list(tmp_path.glob("*.log"))


@pytest.mark.parametrize(
    ("raising", "message"),
    [
        ("bytearray(10 ** 10)", r"not enough memory \(MemoryError: no message\)\. "),
        # As a library in C++ does it, and as OpenBLAS does where it gets no thread.
        ("os.abort()", r"ended by SIGABRT, as libraries do without memory\. "),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"ended by SIGSEGV, as libraries do without memory\. "),
        ("signal.raise_signal(signal.SIGINT)", r"ended by SIGINT, as libraries do without memory\. "),
    ],
)
def test_a_limited_address_space_is_named(tmp_path: Path, raising: str, message: str) -> None:
    done = run(tmp_path, raising, limit_bytes=1_000_000_000)
    assert done.returncode not in (0, None)
    limit = r"The address space is limited to 1,000 MB \(`ulimit -v`\): raise that limit"
    assert re.fullmatch(rf"error: {message}{limit}\n", done.stderr), done.stderr


def test_an_exit_code_is_the_same_where_the_address_space_is_limited(tmp_path: Path) -> None:
    assert run(tmp_path, "raise SystemExit(3)", limit_bytes=1_000_000_000).returncode == 3
    assert run(tmp_path, "print('done')", limit_bytes=1_000_000_000).stdout == "done\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("MemoryError()", "not enough memory (MemoryError: no message)"),
        ("ImportError('libx.so: cannot open shared object file')", "a library cannot be loaded: libx.so: cannot open"),
    ],
)
def test_a_library_that_a_stage_imports_first_and_cannot_is_one_line(tmp_path: Path, error: str, message: str) -> None:
    # The modules of a stage are imported before its command line begins.
    (tmp_path / "pydantic.py").write_text(f"raise {error}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "stages.download", "a", "b", "c"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {message}"), line


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
        # The file that is published as embed.py is for its readers to run; what draws the page is Gradio's.
        drawn = ("_tab", "_controls", "ui.budget_rows", "ui.context", "ui.page")
        if not module.name.endswith(("__main__", "publishing.embed", *drawn)):
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
