"""Whether outputs are what dvc.lock says that they are.

DVC itself only looks at a file's time and size, and hands out a damaged file of its cache as a good one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml

from foundry.base import files
from foundry.base.errors import FoundryError

LOCK = Path("dvc.lock")

Difference = Literal["missing", "altered", "unknown"]


def stages(lock: Path = LOCK) -> dict[str, Any]:
    """The entry of every stage in dvc.lock, by its name.

    Raises:
        FoundryError: when there is no dvc.lock, or it cannot be read.
    """
    if not lock.is_file():
        raise FoundryError(f"{lock} is not there: nothing says what was built; run `dvc repro`")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it
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
    """DVC's hash of a file, its MD5; or of a folder, the MD5 of the list of its files, with `.dir` after it.

    Always of the bytes: DVC's record of files that it has hashed before is not asked.
    """
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if path.is_file():
        return str(file_md5(str(path)))
    tree = Tree()
    for name in files.files_below(path):
        tree.add(name.parts, None, HashInfo("md5", file_md5(str(path / name))))
    tree.digest()
    return str(tree.hash_info.value)


def compare(paths: Iterable[Path], lock: Path = LOCK) -> dict[str, Difference]:
    """What is not as dvc.lock says, by path; `unknown` is what dvc.lock does not have.

    Raises:
        FoundryError: when there is no dvc.lock, or it cannot be read.
    """
    known = outputs(lock)
    differences: dict[str, Difference] = {}
    for path in paths:
        name = path.as_posix()
        if name not in known:
            differences[name] = "unknown"
        elif not path.exists():
            differences[name] = "missing"
        elif digest(path) != known[name]:
            differences[name] = "altered"
    return differences
