"""Files and folders that are either whole or not there: written beside their target, then renamed into place."""

import configparser
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

FULL_BELOW_BYTES = 1_000_000


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file or a folder to; rename it into place when the block ends well.

    When the block raises, what was written is removed and an earlier `target` stays as it was. A leftover of a
    process that was killed is swept away by the next call for the same target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}-{os.getpid()}")
    for leftover in target.parent.glob(f".partial-{target.name}-*"):
        if not psutil.pid_exists(int(leftover.name.rpartition("-")[2])):
            remove(leftover)
    done = False
    try:
        yield partial
        if not partial.exists():
            raise FileNotFoundError(f"nothing was written to {partial}, which was to become {target}")
        # A folder cannot be renamed over a folder that holds files: the old one goes first.
        if target.is_dir() or partial.is_dir():
            remove(target)
        partial.replace(target)
        done = True
    finally:
        try:
            if not done:
                require_space(target.parent)
        finally:
            remove(partial)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """`replacing`, for a folder that is made already."""
    with replacing(target) as partial:
        partial.mkdir()
        yield partial


def require_space(folder: Path, size_bytes: int = FULL_BELOW_BYTES) -> None:
    """Check that so much can be written to the disk that `folder` is on, or will be on, and to that of DVC's cache.

    DVC that cannot keep an output in its cache says so, and goes on and ends as if it had.

    By default, that neither is full: ONNX Runtime and OpenVINO report a full disk as anything but that.

    Raises:
        OSError: ENOSPC.
    """
    disks = {_existing(one).stat().st_dev: one for one in (dvc_cache(), folder) if one is not None}
    for one in disks.values():
        free = shutil.disk_usage(_existing(one)).free
        if free < size_bytes:
            said = os.strerror(errno.ENOSPC)
            if size_bytes > FULL_BELOW_BYTES:
                said += f" ({size_bytes / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free)"
            raise OSError(errno.ENOSPC, said, str(one))


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def dvc_cache() -> Path | None:
    """Where DVC keeps outputs, by the project's own configuration; None outside of a DVC project."""
    root = Path(".dvc")
    if not root.is_dir():
        return None
    configured = configparser.ConfigParser(interpolation=None)
    configured.read([root / "config", root / "config.local"], encoding="utf-8")
    return root / configured.get("cache", "dir", fallback="cache")


def remove(path: Path) -> None:
    """Remove a file or a folder, or do nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes; not its mode, because what DVC hands out is read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, relative to it, in a fixed order."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON that reads well and is the same bytes for the same value."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
