"""Runs that the page starts."""

import time

from foundry.ui import jobs
from foundry.ui.workspaces import Workspace


def wait(workspace: Workspace, seconds: float = 60) -> jobs.Job:
    """The run of a workspace, once it has ended."""
    deadline = time.monotonic() + seconds
    while jobs.is_running(workspace):
        assert time.monotonic() < deadline, "the run has not ended"
        time.sleep(0.05)
    job = jobs.latest(workspace)
    assert job is not None
    return job
