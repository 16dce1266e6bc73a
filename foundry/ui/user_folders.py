"""The folder of each user of a shared host: a copy of the host's project, whose code follows the host's."""

import hashlib
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path

from foundry.base import files
from foundry.params.reading import PARAMS
from foundry.ui import jobs, locks, version_history, workspaces
from foundry.ui.workspaces import GIT_USER, STATE, User, Workspace

# A user's folder has its own copy: DVC hashes the code as a dependency of each stage.
CODE = ("foundry", "stages", "runtime/foundry_runtime", "dvc.yaml", ".dvcignore", ".gitignore")
CACHES = ("__pycache__", "*.pyc")
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n[cache]\n    type = reflink,hardlink,copy\n"
CODE_HASH = STATE / "code"  # of the code that a folder has
_making = threading.Lock()


def for_user(user: User, state: Path, template: Path, most_seconds: float | None = None) -> Workspace:
    """The folder of a user on a shared host, made when it is not there yet, with the host's code as it is now.

    Args:
        state: The folder that holds those of all users.
        template: The project that it is a copy of.
        most_seconds: That a run of the user may take.
    """
    root = state / "users" / workspaces.key(user.name)
    workspace = Workspace(root, shared=True, token=user.token, most_seconds=most_seconds)
    with _making:  # a page that is opened asks for several things at once
        if not root.is_dir():
            with files.replacing_folder(root) as partial:
                _make(template, partial)
        elif _code_of(root) != code_hash(template) and not _is_busy(workspace):
            _renew(template, workspace)
    return workspace


@cache
def code_hash(template: Path) -> str:
    """What changes with the code of the host's project, which does not change while its server runs."""
    digest = hashlib.sha256()
    for path in sorted(path for name in CODE for path in _files_of(template / name)):
        digest.update(f"{path.relative_to(template)}\0{files.sha256(path)}\n".encode())
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    """A file, or all of a folder but what Python caches."""
    found = [path / name for name in files.files_below(path)] if path.is_dir() else [path]
    return [each for each in found if each.is_file() and each.suffix != ".pyc"]


def _is_busy(workspace: Workspace) -> bool:
    """Whether something runs from the folder: a run, a short command, or what sends to the Hub."""
    return any(locks.is_held(workspace, name) for name in (locks.WORK, locks.ASKING, locks.SENDING))


def _note_code(template: Path, root: Path) -> None:
    with files.replacing(root / CODE_HASH) as partial:
        partial.write_text(code_hash(template), encoding="utf-8")


def _code_of(root: Path) -> str | None:
    path = root / CODE_HASH
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _make(template: Path, target: Path) -> None:
    """Copy a project's code and settings, as a git repository with a DVC cache of its own and nothing built."""
    for name in (*CODE, PARAMS):
        copy(template / name, target / name)
    (target / "artifacts").mkdir()
    (target / ".dvc").mkdir()
    (target / ".dvc/config").write_text(DVC_CONFIG, encoding="utf-8")
    (target / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    for command in (("init", "-q"), ("add", "-A"), (*GIT_USER, "commit", "-qm", "The project as it came")):
        subprocess.run(["git", *command], cwd=target, check=True, capture_output=True)
    _note_code(template, target)


def _renew(template: Path, workspace: Workspace) -> None:
    """Replace the code by the host's. What was built stays, and is built again where the code that made it changed.

    Raises:
        FoundryError: when something began to run meanwhile.
    """
    with jobs.idle(workspace):
        (workspace.root / CODE_HASH).unlink(missing_ok=True)  # what is renewed in part is renewed again
        names = [name for name in CODE if (template / name).exists()]
        for name in names:
            copy(template / name, workspace.root / name)
        # Where git is locked, the history is without it: nothing depends on that.
        version_history.record(workspace, names, "The project's code as it is on this host")
        _note_code(template, workspace.root)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder in the place of what is there; nothing where there is none."""
    if source.is_dir():
        with files.replacing_folder(target) as partial:
            shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*CACHES), dirs_exist_ok=True)
    elif source.is_file():
        files.copy(source, target)
