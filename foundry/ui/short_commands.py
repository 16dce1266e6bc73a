"""Commands that somebody waits for: each is a process of its own, in the workspace."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from foundry.base.errors import FoundryError
from foundry.ui import limits, locks
from foundry.ui.workspaces import Workspace


def run(
    workspace: Workspace, arguments: Sequence[str], given: Any = None, seconds: float = limits.COMMAND_SECONDS,
    late: str = "",
) -> str:  # fmt: skip
    """Run a short command of `foundry`, or a module of it, in the workspace; what it prints.

    Args:
        arguments: After `python -m`.
        given: Is handed over as JSON on standard input.
        late: What is said where it takes longer than `seconds`.

    Raises:
        FoundryError: with the one line that the command ends with; on a shared host also while another one of the same
            user goes on.
    """
    with locks.held(workspace, locks.ASKING, seconds=0.0) if workspace.shared else contextlib.nullcontext(0) as lock:
        if lock is None:
            raise FoundryError("what you asked for before is not done yet: wait for it")
        return _output(workspace, arguments, given, seconds, late)


def _output(workspace: Workspace, arguments: Sequence[str], given: Any, seconds: float, late: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=workspace.root, env=workspace.environment(),
            input=None if given is None else json.dumps(given), stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        why = late or f"`{arguments[0]}` took more than {seconds:.0f} seconds and was ended"
        raise FoundryError(why) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        message = "\n".join(lines[starts[-1] :] if starts else lines[-1:])
        raise FoundryError(message.removeprefix("error: ") or f"it ended with exit code {done.returncode}")
    return done.stdout
