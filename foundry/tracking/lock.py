"""Whether outputs are what dvc.lock says that they are.

DVC itself only looks at a file's time and size, and hands out a damaged file of its cache as a good one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml

from foundry.base import files, lock_copy
from foundry.base.errors import FoundryError

LOCK = lock_copy.LOCK
REMEDY = f"`foundry build` takes the copy that it keeps, or `git checkout {LOCK}` what is committed"
CONFLICT_MARKS = (b"<<<<<<< ", b"||||||| ", b"=======", b">>>>>>> ")

Difference = Literal["missing", "altered", "unknown"]


def stages(lock: Path = LOCK) -> dict[str, Any]:
    """The entry of every stage in dvc.lock, by its name.

    Raises:
        FoundryError: when there is no dvc.lock, or it cannot be read.
    """
    if not lock.is_file():
        raise FoundryError(f"{lock} is not there: nothing says what was built; run `dvc repro`")
    return parse(lock.read_bytes())


def outputs(lock: Path = LOCK) -> dict[str, str]:
    """DVC's hash of every output in dvc.lock, by its path.

    Raises:
        FoundryError: as `stages`.
    """
    return outputs_of(stages(lock))


def parse(content: bytes) -> dict[str, Any]:
    """The entry of every stage in the bytes of a dvc.lock, by its name.

    Raises:
        FoundryError: when they are not those of a whole dvc.lock.
    """
    require_no_conflict(content)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it
    try:
        rows = yaml.load(content.decode(), loader)["stages"]
        if not all(isinstance(row, dict) for row in rows.values()):
            raise TypeError("a stage is no mapping")
        return dict(rows)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = "it is empty" if not content.strip() else " ".join(str(error).split())
        raise FoundryError(f"{LOCK} is damaged, or was cut off as DVC wrote it: {why}. {REMEDY}") from error


def outputs_of(entries: dict[str, Any]) -> dict[str, str]:
    """DVC's hash of every output of these entries of dvc.lock, by its path.

    Raises:
        FoundryError: when an entry is not whole.
    """
    try:
        return {out["path"]: out["md5"] for stage in entries.values() for out in stage.get("outs", [])}
    except (KeyError, TypeError, AttributeError) as error:
        raise FoundryError(f"{LOCK} is damaged, or was cut off as DVC wrote it: {error!r}. {REMEDY}") from error


def require_no_conflict(content: bytes) -> None:
    """Check that git has not written two sides of a conflict into dvc.lock.

    Raises:
        FoundryError: when it has.
    """
    for number, line in enumerate(content.splitlines(), start=1):
        if line.startswith(CONFLICT_MARKS):
            raise FoundryError(
                f"{LOCK} has git's conflict marks (line {number}): take one side (`git checkout --ours {LOCK}`, or "
                "`--theirs`), and `foundry build` builds what that side does not have"
            )


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
