"""The command line that every stage has: typed arguments in, one clear error and exit code 1 out.

What each run took is kept in artifacts/runs.jsonl, a line a run: no output of a stage, because it is never the same.
"""

import errno
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError

# Libraries of this stack phone home or warn about things that no stage does; both would drown a CI log.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


# The libraries make half a million objects on import, none of them garbage. With Python's defaults the collector walks
# them again and again, for a second of each stage that imports sentence_transformers.
gc.set_threshold(200_000)


WATCH_EVERY_SECONDS = 0.5
RUNS = Path("artifacts/runs.jsonl")


def run(main: Callable[..., Any]) -> None:
    """Run `main` with its typed parameters as the command line.

    A `FoundryError`, and an error of the file system such as a full disk, end in one line on standard error and exit
    code 1. Anything else is a defect of this project and keeps its traceback.
    """
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    end_with_dvc()
    start = time.monotonic()
    try:
        app()
    except FoundryError as error:
        fail(str(error))
    except OSError as error:
        if error.errno is None:  # some library's own error class, not the operating system's
            raise
        where = f": {error.filename}" if error.filename else ""
        advice = ". Free some space and run again; nothing half-written was left" if is_disk_full(error) else ""
        fail(f"{error.strerror}{where}{advice}")
    finally:
        record(time.monotonic() - start)
        gc.freeze()  # the process ends here: a last collection would cost another second


def end_with_dvc() -> None:
    """End this process when the DVC that started it is no more.

    DVC that is killed leaves its stage running, and the next `dvc repro` would start the same stage beside it.
    """
    import threading

    import psutil

    dvc = next((one for one in psutil.Process().parents() if _is_dvc(one)), None)
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
        return any(Path(part).name == "dvc" for part in process.cmdline()[:2])
    except psutil.Error:
        return False


def record(seconds: float) -> None:
    """Add this process to the record of runs: when, what, for how long, and the most memory that it or one of its
    children had resident, in MB."""
    if not RUNS.parent.is_dir():
        return
    line = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0].removesuffix("/__main__.py")).stem, *sys.argv[1:]],
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6),
    }
    with RUNS.open("a", encoding="utf-8") as file:  # one write, so that stages that end together do not mix
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
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fail(message: str) -> None:
    """Print the message in the form that people and CI logs look for, and end with exit code 1."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(message, style="default"))
    sys.exit(1)
