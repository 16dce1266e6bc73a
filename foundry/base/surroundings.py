"""What a process of the pipeline looks after: the DVC that started it, and a limited address space."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.base import failing

WATCH_EVERY_SECONDS = 0.5
STAGE_VARIABLE, ROOT_VARIABLE = "DVC_STAGE", "DVC_ROOT"  # which DVC sets for the command of a stage
RWLOCK = Path(".dvc/tmp/rwlock")  # where DVC notes which process writes which outputs
OPTIONS_WITH_VALUE = ("-X", "-W")  # of python


def end_with_dvc() -> Any:
    """End this process when the DVC that started it has ended, even before this was called.

    DVC that is killed leaves its stage running, and the next `dvc repro` would start the same stage beside it.

    Returns:
        The process of DVC, or None where it has not started this one.
    """
    import threading

    import psutil

    dvc = next((parent for parent in psutil.Process().parents() if is_dvc(parent)), None) or writer()
    if dvc is None:
        if STAGE_VARIABLE in os.environ:
            failing.fail(f"the DVC that started {os.environ[STAGE_VARIABLE]} has ended, and so this stage ends, too")
        return None

    def watch() -> None:
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
            time.sleep(WATCH_EVERY_SECONDS)
        os._exit(1)  # at once: a partial file beside its target is swept away by the next run

    threading.Thread(target=watch, daemon=True).start()
    return dvc


def is_dvc(process: Any) -> bool:
    """Whether a process is DVC, however it was started."""
    import psutil

    try:
        return runs_dvc(process.cmdline())
    except psutil.Error:
        return False


def runs_dvc(words: Sequence[str]) -> bool:
    """Whether a command line is `dvc ...`, `python /somewhere/dvc ...` or `python -m dvc ...`, with any options."""
    if not words or not re.match(r"(python|pypy)", Path(words[0]).name):
        return bool(words) and Path(words[0]).stem == "dvc"
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        if module := re.fullmatch(r"-[A-Za-z]*m(.*)", word):
            return (module[1] or (rest or [""])[0]).partition(".")[0] == "dvc"
        if not word.startswith("-"):
            return Path(word).name == "dvc" or Path(word).parts[-2:] == ("dvc", "__main__.py")
        if word in OPTIONS_WITH_VALUE:
            rest = rest[1:]
    return False


def writer() -> Any:
    """The process that DVC's notes name as the one that writes what this one was called to write; None without one.

    That is DVC where it is not above this process, because something else starts the stage for it. One that began after
    this process is not the one that started it, but a later one, which runs the same stage again.
    """
    import psutil

    this = psutil.Process()
    # A stage runs in the folder of dvc.yaml. An outer DVC may have set the variable, which is then left as it is.
    path = RWLOCK if RWLOCK.parent.is_dir() else Path(os.environ.get(ROOT_VARIABLE, ".")) / RWLOCK
    arguments = [Path(word).absolute() for word in sys.argv[1:]]
    try:
        rows = json.loads(path.read_bytes())["write"].items() if STAGE_VARIABLE in os.environ else ()
        pids = {row["pid"] for out, row in rows if any(Path(out).is_relative_to(word) for word in arguments)}
    except (OSError, ValueError, KeyError):
        return None
    for pid in sorted(pids):
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= this.create_time():
                return process
        except psutil.Error:
            continue
    return None


def watch_limits() -> None:
    """Where the address space is limited, go on in a child, and end as it ends, with a line where it was ended.

    Libraries that get no memory, or no thread, may end their process at once, with no error that Python could report.
    Where there is no limit, this does nothing.
    """
    if failing.address_space_limit() is None or not hasattr(os, "fork"):
        return
    child = os.fork()
    if child == 0:
        die_with_parent()
        return
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))  # the child is interrupted, too
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 128 + signal.SIGINT and not interrupted:  # OpenBLAS does that to its process where it gets no thread
        code = -signal.SIGINT
    if code < 0 and not interrupted and -code != signal.SIGTERM:
        failing.show(
            f"ended by {signal.Signals(-code).name}, as libraries do without memory. {failing.memory_advice()}"
        )
    os._exit(code if code >= 0 else 128 - code)


def die_with_parent() -> None:
    """Let the kernel end this process when the one that started it has ended (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
