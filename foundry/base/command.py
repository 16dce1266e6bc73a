"""The command line of every stage and of `foundry`: arguments in; one line for any error, and exit code 1.

What each run took is kept in artifacts/runs.jsonl, a line a run: no output of a stage, because it is never the same.
"""

import contextlib
import errno
import gc
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from foundry.base.errors import FoundryError

# Libraries of this stack phone home, or warn about things that no stage does, which would drown a CI log.
ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
# OpenVINO's converter reports its use with this package, where it is, and has no variable that forbids it.
TELEMETRY_PACKAGE = "openvino_telemetry"
# The libraries make half a million objects on import, none of them garbage. With Python's default of 700 the collector
# walks them again and again, for a second of each stage that imports sentence_transformers.
COLLECT_AFTER_OBJECTS = 200_000

WATCH_EVERY_SECONDS = 0.5
RUNS = Path("artifacts/runs.jsonl")
LOGS = Path("artifacts/logs")


def run(main: Callable[..., Any]) -> None:
    """Run `main` with its typed parameters as the command line; see `run_app`."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)


def run_app(app: Callable[[], Any]) -> None:
    """Run a command line, and let any error end in one line on standard error and exit code 1.

    A `FoundryError`, and an error of the operating system such as a full disk, say what to do. Any other error is a
    defect of this project: its line names the log that has the traceback. Ctrl-C ends with exit code 130 and no line.
    """
    prepare_process()
    end_with_dvc()
    start = time.monotonic()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except FoundryError as error:
        fail(str(error))
    except Exception as error:  # noqa: BLE001  # the top of the command line: nothing else would report it
        fail(explain(error))
    finally:
        record(time.monotonic() - start)
        gc.freeze()  # the process ends here: a last collection would cost another second


def prepare_process() -> None:
    """Set what holds for the whole process. The libraries read their variables when they are imported, later."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.modules[TELEMETRY_PACKAGE] = None  # type: ignore[assignment]  # an import of it fails, as where it is not installed
    gc.set_threshold(COLLECT_AFTER_OBJECTS)


def explain(error: Exception) -> str:
    """An error that is no `FoundryError`, in one line. For a defect of this project, a log is written, too."""
    if isinstance(error, OSError) and error.errno is not None:  # without, it is an error class of some library
        paths = " -> ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        advice = ". Free some space and run again; nothing half-written was left" if is_disk_full(error) else ""
        return f"{error.strerror or type(error).__name__}{f': {paths}' if paths else ''}{advice}"
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    try:
        where = f"The traceback: {write_log(error)}"
    except OSError as full:
        where = f"Its traceback could not be kept: {full.strerror}"
    return f"{type(error).__name__}: {first_line.rstrip('.')}. {where}"


def write_log(error: Exception) -> Path:
    """Write an error's traceback to a new file below artifacts, or a temporary one where there is no such folder."""
    # A stage's file is named `export-...`, a command's `foundry-audit-...`.
    program, *arguments = command_line()
    name = f"foundry-{arguments[0]}" if program == "foundry" and arguments else program
    name += f"-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if LOGS.parent.is_dir():
        LOGS.mkdir(exist_ok=True)
        path = LOGS / f"{name}-{os.getpid()}.log"
    else:
        descriptor, temporary = tempfile.mkstemp(prefix=f"{name}-", suffix=".log")
        os.close(descriptor)
        path = Path(temporary)
    lines = [" ".join(command_line()), "\n\n", *traceback.format_exception(error)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def command_line() -> list[str]:
    """What was called, without the path to it: `["export", "onnx", ...]` of a stage, `["foundry", "audit", ...]`."""
    return [Path(sys.argv[0].removesuffix("/__main__.py")).stem, *sys.argv[1:]]


def end_with_dvc() -> None:
    """End this process when the DVC that started it has ended.

    DVC that is killed leaves its stage running, and the next `dvc repro` would start the same stage beside it.
    """
    import threading

    import psutil

    dvc = next((parent for parent in psutil.Process().parents() if _is_dvc(parent)), None)
    if dvc is None:
        return

    def watch() -> None:
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
            time.sleep(WATCH_EVERY_SECONDS)
        os._exit(1)  # at once: a partial file beside its target is swept away by the next run

    threading.Thread(target=watch, daemon=True).start()


def _is_dvc(process: Any) -> bool:
    import psutil

    try:
        # `dvc`, `python /somewhere/dvc`, or `python -m dvc`.
        return any(Path(part).name == "dvc" for part in process.cmdline()[:3])
    except psutil.Error:
        return False


def record(seconds: float) -> None:
    """Add this process to the record of runs: when, what, for how long, and the most memory that it or one of its
    children had resident, in MB."""
    if not RUNS.parent.is_dir():
        return
    line = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6),
    }
    # A full disk must not hide the error that ends this process.
    # One write, so that the lines of stages that end together do not mix.
    with contextlib.suppress(OSError), RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def peak_memory_bytes() -> int:
    """The most that this process, or the largest of its children that ended, had resident."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    status = Path("/proc/self/status")
    if not status.is_file():
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    # On Linux, getrusage starts with what the parent had when it started this process.
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return max(children, int(line.split()[1]) * 1024)


def is_disk_full(error: OSError) -> bool:
    """Whether an error of the operating system says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fail(message: str) -> NoReturn:
    """Print the message in the form that people and CI logs look for, and end with exit code 1."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(message, style="default"))
    sys.exit(1)
