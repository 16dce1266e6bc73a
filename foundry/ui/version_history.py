"""Versions of a project: the commits of dvc.lock, which the end of a run makes in a user's folder."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from foundry.ui import limits, workspaces
from foundry.ui.own_folders import OwnFolder
from foundry.ui.workspaces import GIT_USER, Workspace

RECORDED = ("dvc.lock", "params.yaml")


def versions(workspace: Workspace) -> list[tuple[str, str]]:
    """Commits in which dvc.lock changed, the latest first: what a reader is shown, and the revision."""
    listed = subprocess.run(
        ["git", "log", f"-{limits.VERSIONS_SHOWN}", "--format=%h%x00%cs %s", "--", "dvc.lock"],
        cwd=workspace.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.split("\0", 1) for line in listed.stdout.splitlines() if "\0" in line]
    return [(f"{revision}: {subject[: limits.VERSION_CHARACTERS_SHOWN]}", revision) for revision, subject in rows]


def remember(workspace: Workspace, what: str) -> str | None:
    """Commit dvc.lock and params.yaml of a user's folder, so that versions can be compared; no other project's.

    The commit is made with an index of its own, so that a lock of git's index, which a killed git leaves, does not
    matter.

    Returns:
        Why it could not be made, in a line; None where it was, or where nothing changed.
    """
    if not workspace.shared or not all((workspace.root / name).is_file() for name in RECORDED):
        return None
    return record(workspace, RECORDED, what)


def record(workspace: Workspace, names: Sequence[str], what: str) -> str | None:
    """Commit these files and folders as they are; gives what `remember` gives."""
    try:
        return _commit(workspace, names, what)
    except OSError as error:  # git is not installed, or the disk is full
        return f"{error.strerror}: {error.filename}".replace(f"{workspace.root}/", "")


def _commit(workspace: Workspace, names: Sequence[str], what: str) -> str | None:
    with OwnFolder(workspace.state / "indexes", "index-") as folder:
        index = folder / "index"
        for command in (("read-tree", "HEAD"), ("add", "--", *names)):
            if why := _git(workspace, index, *command):
                return why
        if _git(workspace, index, "diff", "--cached", "--quiet") is None:
            return None
        if why := _git(workspace, index, *GIT_USER, "commit", "-qm", what):
            return why
    _git(workspace, None, "reset", "-q")  # git's own index follows, where nothing is in the way
    return None


def _git(workspace: Workspace, index: Path | None, *arguments: str) -> str | None:
    """Run git; None where it ended well, or else why not, in a line."""
    environment = workspaces.without_secrets(os.environ) | ({"GIT_INDEX_FILE": str(index)} if index else {})
    done = subprocess.run(
        ["git", *arguments], cwd=workspace.root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    said = next((line for line in done.stderr.splitlines() if line.startswith(("fatal:", "error:"))), "git failed")
    why = said.partition(": ")[2].replace(f"{workspace.root}/", "").rstrip(".") or said
    if "File exists" in why:
        why += "; a git that was killed left it, and who runs this host may remove it while nothing runs here"
    return why
