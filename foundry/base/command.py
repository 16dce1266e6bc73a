"""The command line of every stage and of `foundry`: arguments in; one line for any error, and exit code 1.

What each run took is kept in artifacts/runs.jsonl, a line a run: no output of a stage, because it is never the same.
"""

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundry.base import failing, import_client, lock_copy, surroundings
from foundry.base.credentials import hidden
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

RUNS = Path("artifacts/runs.jsonl")


def fix_hashes() -> None:
    """Start this process again with a fixed seed for the hashes of text, unless it has it.

    A model's code may walk over a set of names: transformers' ModernBERT computes its rotary angles in the order of
    one, and a graph that is traced from it has its operators in that order.
    """
    stage = sys.modules["__main__"].__spec__
    if stage is not None and os.environ.get("PYTHONHASHSEED") != "0":
        words = [sys.executable, "-m", stage.name, *sys.argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONHASHSEED": "0"})


def run(main: Callable[..., Any], libraries: Sequence[str] = ()) -> None:
    """Run `main` with its typed parameters as the command line; see `run_app`.

    Args:
        libraries: What takes long to import, in this order: below DVC, one process imports it for all that need it.
    """
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app, libraries)


def run_app(app: Callable[[], Any], libraries: Sequence[str] = ()) -> None:
    """Run a command line, and let any error end in one line on standard error and exit code 1.

    A `FoundryError`, an error of the operating system such as a full disk, and what this machine or environment lacks,
    say what to do. Any other error is a defect of this project: its line names the log that has the traceback. Ctrl-C
    ends with exit code 130 and no line.
    """
    surroundings.watch_limits()
    start = time.monotonic()
    try:
        prepare_process()
        # Its guard ends a fork, and the process that handed over has done what follows.
        if not import_client.is_fork and (dvc := surroundings.end_with_dvc()):
            lock_copy.keep()
            import_client.hand_over(libraries, dvc)
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except FoundryError as error:
        failing.fail(str(error))
    except Exception as error:  # noqa: BLE001  # the top of the command line: nothing else would report it
        failing.fail(failing.explain(error))
    finally:
        record(time.monotonic() - start)
        gc.freeze()  # the process ends here: a last collection would cost another second


def prepare_process() -> None:
    """Set what holds for the whole process. The libraries read their variables when they are imported, later."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.modules[TELEMETRY_PACKAGE] = None  # type: ignore[assignment]  # an import of it fails, as where it is not installed
    gc.set_threshold(COLLECT_AFTER_OBJECTS)


def record(seconds: float) -> None:
    """Add this process to the record of runs: when, what, for how long, and the most memory that it or one of its
    children had resident, in MB."""
    if not RUNS.parent.is_dir():
        return
    line = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": failing.command_line(),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6),
    }
    # A full disk must not hide the error that ends this process.
    # One write, so that the lines of stages that end together do not mix.
    with contextlib.suppress(OSError, MemoryError), RUNS.open("a", encoding="utf-8") as file:
        file.write(hidden(json.dumps(line)) + "\n")


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
