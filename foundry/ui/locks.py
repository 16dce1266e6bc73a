"""Locks of a workspace: files that a process holds, which the kernel frees when it ends, however it ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from foundry.base.errors import FoundryError
from foundry.ui.workspaces import Workspace

WORK = "lock"  # held by a run, and by a change of settings
RUN = "runs.lock"  # held by a run alone
ASKING = "asking.lock"  # held while a short command runs: one user does not keep all others waiting
SENDING = "sending.lock"  # held by what sends to the Hub, which goes on when the run that started it is killed


@contextlib.contextmanager
def held(workspace: Workspace, name: str, seconds: float = 1.0) -> Iterator[int | None]:
    """The descriptor of one of the workspace's locks, held; None where somebody else holds it."""
    workspace.state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(workspace.state / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield descriptor
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield None
                    return
                time.sleep(0.05)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def sending(workspace: Workspace) -> Iterator[None]:
    """Hold what only one process of the workspace may hold, which sends to the Hub: two would open two pull requests.

    Raises:
        FoundryError: when another one sends.
    """
    with held(workspace, SENDING) as lock:
        if lock is None:
            raise FoundryError("a run that was killed here still sends: wait until it has ended, and look at the Hub")
        yield


def is_held(workspace: Workspace, name: str) -> bool:
    """Whether a process holds one of the workspace's locks."""
    if not (workspace.state / name).exists():
        return False
    descriptor = os.open(workspace.state / name, os.O_RDONLY)
    try:
        # A shared lock: two that ask at once do not take each other for a run.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
