"""A copy of dvc.lock, kept whenever a stage starts.

DVC empties the file and then writes it, after every stage. When it is killed in between, the copy has all but that
stage.
"""

import contextlib
import subprocess
from pathlib import Path
from typing import NamedTuple

from foundry.base import files

LOCK = Path("dvc.lock")
COPY = Path(".dvc/tmp/dvc.lock.copy")
HEADING = b"# dvc.lock as it was at revision "  # a comment in YAML, so that one file has both


class Copy(NamedTuple):
    """What was kept."""

    revision: str  # the commit that was checked out; empty where there was none
    content: bytes


def keep() -> None:
    """Keep a copy of dvc.lock, if it is whole as far as its end shows, in the place of the one before."""
    with contextlib.suppress(OSError):  # such as a full disk, of which the stage says more
        if not COPY.parents[1].is_dir() or not LOCK.is_file():
            return
        content = LOCK.read_bytes()
        if not content.endswith(b"\n"):  # another DVC is writing it now
            return
        copy = Copy(revision(), content)
        if copy != read():
            with files.replacing(COPY) as partial:
                partial.write_bytes(HEADING + copy.revision.encode() + b"\n" + content)


def read() -> Copy | None:
    """The copy that was kept; None where there is none."""
    if not COPY.is_file():
        return None
    heading, _, content = COPY.read_bytes().partition(b"\n")
    return Copy(heading.removeprefix(HEADING).decode(errors="replace"), content)


def revision() -> str:
    """The commit that is checked out; empty where there is none."""
    try:
        done = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], capture_output=True, check=False)
    except OSError:  # git is not installed
        return ""
    return done.stdout.decode().strip()
