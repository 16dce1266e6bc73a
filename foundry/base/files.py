"""Files and folders that are either complete or not there: written beside their target, then renamed into place."""

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

FULL_BELOW_BYTES = 1_000_000


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write a file or a folder to, which is renamed to `target` when the block ends.

    If the block raises, what was written is removed and an earlier `target` stays as it was. What a killed process left
    is removed by the next call for the same target.

    Raises:
        FileNotFoundError: when the block wrote nothing.
        OSError: ENOSPC, when the block raised anything and the disk is full.
    """
    import psutil

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}-{os.getpid()}")
    for leftover in target.parent.glob(f".partial-{target.name}-*"):
        if not psutil.pid_exists(int(leftover.name.rpartition("-")[2])):
            remove(leftover)
    renamed = False
    try:
        yield partial
        if not partial.exists():
            raise FileNotFoundError(f"nothing was written to {partial}, which was to become {target}")
        # A folder cannot be renamed over one with files in it, so the old one is removed first.
        if target.is_dir() or partial.is_dir():
            remove(target)
        partial.replace(target)
        renamed = True
    finally:
        try:
            if not renamed:
                require_space(target.parent)
        finally:
            remove(partial)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """`replacing`, for a folder, which exists when the block starts."""
    with replacing(target) as partial:
        partial.mkdir()
        yield partial


def require_space(folder: Path, size_bytes: int = FULL_BELOW_BYTES) -> None:
    """Check that the disk of `folder`, which need not exist yet, and that of DVC's cache have `size_bytes` free.

    The default only asks whether a disk is full, because ONNX Runtime and OpenVINO report a full disk as another error.
    DVC's cache is checked because DVC prints an error for an output that does not fit, and then ends with exit code 0.

    Raises:
        OSError: ENOSPC.
    """
    disks = {_nearest_existing(path).stat().st_dev: path for path in (dvc_cache(), folder) if path is not None}
    for path in disks.values():
        free_bytes = shutil.disk_usage(_nearest_existing(path)).free
        if free_bytes < size_bytes:
            message = os.strerror(errno.ENOSPC)
            if size_bytes > FULL_BELOW_BYTES:
                message += f" ({size_bytes / 1e6:,.0f} MB are needed, {free_bytes / 1e6:,.0f} MB are free)"
            raise OSError(errno.ENOSPC, message, str(path))


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def dvc_cache() -> Path | None:
    """The folder of DVC's cache, as the project in the current folder configures it; None if it is no project."""
    root = Path(".dvc")
    if not root.is_dir():
        return None
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read([root / "config", root / "config.local"], encoding="utf-8")
    return root / configuration.get("cache", "dir", fallback="cache")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes, and not its mode, because DVC makes outputs read-only."""
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
    """Write indented JSON, which is the same bytes for the same value."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
