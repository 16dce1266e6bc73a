"""Put right what DVC was killed at as it wrote it: dvc.lock, and its note of which process writes what."""

import json
import subprocess
from pathlib import Path

from foundry.base import files, lock_copy
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.base.surroundings import RWLOCK
from foundry.tracking import lock

DAMAGED = Path(".dvc/tmp/dvc.lock.damaged")


def recover() -> None:
    """Replace a dvc.lock that is cut off by the copy of this revision, else by the committed one, and say so.

    What stood there is kept beside the copy. DVC's note of which process writes what is removed where it is cut off.

    Raises:
        FoundryError: when git has put conflict marks into dvc.lock, or there is nothing to take in its place.
    """
    remove_cut_note()
    if not lock.LOCK.is_file():
        return
    content = lock.LOCK.read_bytes()
    lock.require_no_conflict(content)
    copy = lock_copy.read()
    # That of another revision is of other settings and code, and git has put that revision's own in its place.
    kept = copy.content if copy and copy.revision == lock_copy.revision() and not is_cut(copy.content) else None
    if not (is_cut(content) or (kept is not None and lacks_its_end(content, kept))):
        return
    for good, where in ((kept, "the copy that was kept as the last stage started"), (committed(), "the committed one")):
        if good is not None and not is_cut(good):
            files.copy(lock.LOCK, DAMAGED)
            with files.replacing(lock.LOCK) as partial:
                partial.write_bytes(good)
            say(
                f"{lock.LOCK} was ", ("cut off", "yellow"), f" after {len(content)} bytes, as happens when DVC is "
                f"killed while it writes the file: {where} is in its place again"
            )  # fmt: skip
            return
    raise FoundryError(
        f"{lock.LOCK} was cut off as DVC wrote it, and there is neither a copy of this revision nor a committed one: "
        f"remove it, and `foundry build` takes what it can from DVC's cache"
    )


def remove_cut_note() -> None:
    """Remove DVC's note of which process writes what where it is cut off, with which every stage would fail; say so.

    It is read again under the lock under which DVC writes it: a DVC that works now may be at it.
    """
    if not is_note_cut():
        return
    from dvc.config import Config
    from dvc.lock import LockError, make_lock

    folder = RWLOCK.parent.resolve()
    by_hardlink = Config(str(folder.parent))["core"].get("hardlink_lock", False)
    try:
        with make_lock(str(folder / f"{RWLOCK.name}.lock"), tmp_dir=str(folder), hardlink_lock=by_hardlink):
            if is_note_cut():
                RWLOCK.unlink()
                say(f"{RWLOCK} was ", ("cut off", "yellow"), ", as happens when DVC is killed: it is removed")
    except LockError:  # another DVC has it, and says itself what is wrong
        return


def is_note_cut() -> bool:
    """Whether there is a note of DVC's that is no JSON."""
    try:
        json.loads(RWLOCK.read_bytes())
    except OSError:
        return False
    except ValueError:
        return True
    return False


def is_cut(content: bytes) -> bool:
    """Whether these bytes are not those of a whole dvc.lock of this pipeline, in which every stage has outputs."""
    try:
        entries = lock.parse(content)
        lock.outputs_of(entries)
    except FoundryError:
        return True
    rows = [out for entry in entries.values() for out in entry.get("outs", [])]
    return (
        not content.endswith(b"\n")
        or not all("cmd" in entry and entry.get("outs") for entry in entries.values())
        or not all("size" in row for row in rows)
    )


def lacks_its_end(content: bytes, kept: bytes) -> bool:
    """Whether a dvc.lock that reads well was cut off between two stages: it has the first ones of the copy alone.

    One that git knows is whole: an earlier one may have been checked out.
    """
    names, more = [*lock.parse(content)], [*lock.parse(kept)]
    return len(names) < len(more) and names == more[: len(names)] and not is_known_to_git(content)


def is_known_to_git(content: bytes) -> bool:
    """Whether git has a file of these bytes."""
    hashed = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=False)
    name = hashed.stdout.decode().strip()
    return bool(name) and subprocess.run(["git", "cat-file", "-e", name], capture_output=True).returncode == 0


def committed() -> bytes | None:
    """The dvc.lock that is committed; None where there is none."""
    shown = subprocess.run(["git", "show", f"HEAD:./{lock.LOCK}"], capture_output=True, check=False)
    return shown.stdout if shown.returncode == 0 else None
