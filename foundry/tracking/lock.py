"""Whether outputs are what dvc.lock says that they are.

DVC itself trusts the time and size that it saw a file with, and hands out a damaged file of its cache as a good one.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml

from foundry.base import files
from foundry.base.errors import FoundryError

LOCK = Path("dvc.lock")


def stages(lock: Path = LOCK) -> dict[str, Any]:
    """The entry of every stage in dvc.lock, by its name.

    Raises:
        FoundryError: when there is no dvc.lock, or none that can be read.
    """
    if not lock.is_file():
        raise FoundryError(f"{lock} is not there: nothing says what was built; run `dvc repro`")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, in C where it is there
    try:
        return dict(yaml.load(lock.read_text(encoding="utf-8"), loader)["stages"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise _damaged(lock, error) from error


def _damaged(lock: Path, error: Exception) -> FoundryError:
    return FoundryError(f"{lock} is damaged: {error!r}. `git checkout {lock}` restores it")


def outputs(lock: Path = LOCK) -> dict[str, str]:
    """DVC's hash of every output in dvc.lock, by its path.

    Raises:
        FoundryError: as `stages`.
    """
    entries = stages(lock)
    try:
        return {out["path"]: out["md5"] for stage in entries.values() for out in stage.get("outs", [])}
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(lock, error) from error


def digest(path: Path) -> str:
    """DVC's hash of a file, its MD5; or of a folder, the MD5 of the list of its files, with `.dir` after it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    rows = [{"md5": digest(path / name), "relpath": name.as_posix()} for name in files.files_below(path)]
    listing = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
    return f"{hashlib.md5(listing.encode()).hexdigest()}.dir"


def compare(paths: Iterable[Path], lock: Path = LOCK) -> dict[str, Literal["missing", "altered", "unknown"]]:
    """What is not as dvc.lock says, by path; `unknown` is what dvc.lock does not have.

    Raises:
        FoundryError: when there is no dvc.lock, or none that can be read.
    """
    known = outputs(lock)
    found: dict[str, Literal["missing", "altered", "unknown"]] = {}
    for path in paths:
        name = path.as_posix()
        if name not in known:
            found[name] = "unknown"
        elif not path.exists():
            found[name] = "missing"
        elif digest(path) != known[name]:
            found[name] = "altered"
    return found
