"""What a run leaves behind where it was killed: nothing counts, stops or limits that any more."""

import contextlib
from typing import TYPE_CHECKING

from foundry.ui import limits

if TYPE_CHECKING:
    import psutil

RUN = "FOUNDRY_RUN"  # in the environment of all that a run starts: its name


def processes(run: str) -> "list[psutil.Process]":
    """What a run of this name started and what that started, of this account."""
    import psutil

    started = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended, or is another account's
            if process.environ().get(RUN) == run and process.status() != psutil.STATUS_ZOMBIE:
                started.append(process)
    return started


def end(run: str) -> None:
    """End them all, with those that start meanwhile."""
    import psutil

    while left := processes(run):
        for process in left:
            with contextlib.suppress(psutil.Error):  # it has ended by itself
                process.kill()
        psutil.wait_procs(left, timeout=limits.STOP_KILL_SECONDS)
