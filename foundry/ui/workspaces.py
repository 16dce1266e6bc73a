"""Whose project the page works on: the current folder's, or on a shared host a folder for each user.

A handler of the page is given the workspace of the user who asked, and reaches files through it alone.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from foundry.base import credentials
from foundry.base.errors import FoundryError
from foundry.params.reading import PARAMS
from foundry.ui import limits

GIT_USER = ("-c", "user.name=foundry", "-c", "user.email=foundry@localhost")
# Below .dvc/tmp, which git does not look into.
STATE = Path(".dvc/tmp/ui")
TOKEN = "HF_TOKEN"


class User(NamedTuple):
    """Who asks: on a shared host somebody who is logged in to the Hub."""

    name: str
    token: str | None = None

    def __repr__(self) -> str:
        """Without the token, so that no log and no traceback has it."""
        return f"User({self.name!r})"


class Workspace(NamedTuple):
    """A project that the page works on."""

    root: Path
    shared: bool = False  # on a host that others use, too
    token: str | None = None  # of the user, on a shared host
    most_seconds: float | None = None  # that a run may take; None: as many as it needs

    def __repr__(self) -> str:
        """Without the token."""
        return f"Workspace({str(self.root)!r}, shared={self.shared})"

    @property
    def state(self) -> Path:
        """Where the page keeps what it knows of runs."""
        return self.root / STATE

    @property
    def params(self) -> Path:
        """The settings of the project."""
        return self.root / PARAMS

    def environment(self) -> dict[str, str]:
        """The environment of commands that run for this workspace.

        On a shared host it has nothing of the host's that gives access, a cache of the Hub of its own (what another
        user's token could read is in theirs), and the user's token.
        """
        environment = dict(os.environ)
        if self.shared:
            environment = without_secrets(environment)
            environment["HF_HOME"] = str(self.root / ".cache/huggingface")
            environment |= {TOKEN: self.token} if self.token else {}
        beside = str(Path(sys.executable).parent)
        if any(shutil.which(name, path=environment.get("PATH")) is None for name in ("dvc", "foundry")):
            environment["PATH"] = f"{beside}{os.pathsep}{environment.get('PATH', '')}"
        return environment | {"PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "NO_COLOR": "1", "COLUMNS": "160"}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose names do not say that they give access."""
    return {
        name: value
        for name, value in environment.items()
        if not credentials.SECRET_NAME.search(name) and not name.startswith(("OAUTH_", "HF_HOME", "HF_TOKEN"))
    }


def local(root: Path) -> Workspace:
    """The project of a folder.

    Raises:
        FoundryError: when the folder is none.
    """
    if not (root / "dvc.yaml").is_file() or not (root / PARAMS).is_file():
        raise FoundryError(f"{root} is no project: it has no dvc.yaml and {PARAMS}. Run from the project's root")
    return Workspace(root)


def key(user: str) -> str:
    """The name of a user's folder, which says nothing of the name and cannot be a path."""
    return hashlib.sha256(f"user {user}".encode()).hexdigest()[:40]


def size_bytes(folder: Path) -> int:
    """How much a folder holds. Files that were removed meanwhile do not count, and one with several names counts once:
    DVC links what its cache holds."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(path, name))  # noqa: PTH118  # many files: no Path for each
            except OSError:
                continue
            if status.st_nlink > 1:
                if (file := (status.st_dev, status.st_ino)) in seen:
                    continue
                seen.add(file)
            total += status.st_size
    return total


def too_full(root: Path, most_bytes: int) -> str | None:
    """Why a user's folder may not grow any more: it is too large, or the disk that all users share is nearly full."""
    if (size := size_bytes(root)) > most_bytes:
        return (
            f"your folder holds {size / 1e9:.1f} GB, and {most_bytes / 1e9:.0f} are allowed here: remove a model, "
            "and then what is left over"
        )
    if shutil.disk_usage(root).free < limits.DISK_FREE_BYTES:
        return "the disk of this host is nearly full: try again later, or use a machine of your own"
    return None


def require_quota(workspace: Workspace) -> None:
    """Check that a user's folder may still grow.

    Raises:
        FoundryError: when it may not.
    """
    if workspace.shared and (why := too_full(workspace.root, limits.FOLDER_BYTES)) is not None:
        raise FoundryError(why)
