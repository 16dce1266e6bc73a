"""The shape of a checkpoint's folder: plain files alone, nothing that leads outside, and a folder for each module."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from foundry_runtime.router import ROUTERS

from foundry.base.errors import FoundryError
from foundry.checkpoints import integrity

LONGEST_PATH = 200  # characters
MOST_MODULES = 200  # those inside Routers included


def plain_files(root: Path) -> list[str]:
    """Every file below a local checkpoint, relative to it; hidden ones, which never travel, are not looked at.

    Raises:
        FoundryError: for a symbolic link that leads outside, and for pipes, devices and sockets.
    """
    return sorted(_walk(root, root))


def _walk(folder: Path, root: Path, is_linked: bool = False) -> Iterator[str]:
    for entry in os.scandir(folder):
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            _check_link(path, name, root)
            # A link to a folder around it would never end; and links inside of links would multiply.
            if entry.is_dir() and not is_linked and path.resolve() not in path.absolute().parents:
                yield from _walk(path, root, is_linked=True)
            if entry.is_dir():
                continue
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root, is_linked)
            continue
        if not stat.S_ISREG(path.stat().st_mode):
            raise FoundryError(
                f"{name} of the checkpoint {root} is no plain file (a pipe, device or socket); remove it"
            )
        yield name


def _check_link(path: Path, name: str, root: Path) -> None:
    try:
        path.stat()  # `resolve` tells a loop up to Python 3.12 alone
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FoundryError(f"{name} of the checkpoint {root} is a symbolic link to itself; remove it") from error
    target, inside = path.resolve(), root.resolve()
    # A snapshot in the Hub's cache holds nothing but links to the blobs beside it.
    blobs = inside.parent.parent / "blobs" if inside.parent.name == "snapshots" else None
    if not target.is_relative_to(inside) and not (blobs is not None and target.parent == blobs):
        raise FoundryError(
            f"{name} of the checkpoint {root} is a symbolic link to {path.readlink()}, outside of its folder. "
            "Put the file itself there, or remove the link"
        )
    if not target.exists():
        raise FoundryError(
            f"{name} of the checkpoint {root} is a symbolic link to {path.readlink()}, which is not there"
        )


def check_path(path: Any, where: str) -> str:
    """A module's path as a checkpoint gives it, once it is sure to stay inside.

    Raises:
        FoundryError: for an absolute path, one with `..`, and one that is no text or no name of a folder.
    """
    if not isinstance(path, str):
        raise FoundryError(f"{where} gives a module the path {path!r}, which is no text")
    if not (path == "" or path.isprintable()) or len(path) > LONGEST_PATH:
        raise FoundryError(f"{where} gives a module the path {path[:LONGEST_PATH]!r}, which is no name of a folder")
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or Path(path).is_absolute() or ":" in path:
        raise FoundryError(f"{where} gives a module the path {path}, which leaves the checkpoint's folder")
    return "" if str(parts) == "." else str(parts)


def module_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of modules.json as they stand there, each with a text as its path and type; none where there is no such
    file.

    Raises:
        FoundryError: when it is not a list of modules, or a path leaves the folder.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        return []
    rows = integrity.read_json(listing)
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("type"), str) for row in rows
    ):
        raise FoundryError(f"{listing} is not a list of modules, each with a path and a type")
    for row in rows:
        if "path" not in row:
            raise FoundryError(f"{listing} is not a list of modules, each with a path and a type: {row}")
        row["path"] = check_path(row["path"], "modules.json")
    names = [row.get("name") for row in rows]
    if len(set(map(str, names))) < len(names):
        # Sentence Transformers keeps modules by their names, so that the last of a name would be the only one.
        raise FoundryError(f"{listing} has modules without a name of their own: {', '.join(map(str, names))}")
    return rows


def router_modules(folder: Path, path: str) -> dict[str, str]:
    """The modules inside a Router, by their folder relative to the checkpoint: each one's type.

    Raises:
        FoundryError: when a path leaves the folder, or its settings are not a Router's.
    """
    # Sentence Transformers reads config.json where an older version wrote it there.
    names = [folder / path / name for name in ("router_config.json", "config.json")]
    config = next((file for file in names if file.is_file()), None)
    if config is None:
        raise FoundryError(f"module {path} is a Router, and has no router_config.json")
    where = config.relative_to(folder).as_posix()
    value = integrity.read_json(config)
    types = value.get("types") if isinstance(value, dict) else None
    if not isinstance(types, dict) or not all(isinstance(name, str) for name in types.values()):
        raise FoundryError(f"{where} has no `types`, which a Router takes its modules from")
    inside = {_joined(path, check_path(name, where)): type_name for name, type_name in types.items()}
    if len(inside) < len(types):  # of which one would go unseen
        raise FoundryError(f"{where} has two modules in one folder: {', '.join(map(repr, types))}")
    return inside


def _joined(path: str, name: str) -> str:
    """The folder of a module inside a Router; `""` is the checkpoint's own."""
    joined = str(PurePosixPath(path, name))
    return "" if joined == "." else joined


def module_types(folder: Path) -> dict[str, str]:
    """Every module of a checkpoint, those inside Routers included: its type by its folder, in the checkpoint's order.

    A key has the module's position in front (`1:1_Pooling`), because two modules may share the root.

    Raises:
        FoundryError: as `module_rows` and `router_modules` do.
    """
    waiting = [(str(row["path"]), str(row["type"])) for row in module_rows(folder)]
    types: dict[str, str] = {}
    while waiting:
        path, name = waiting.pop(0)
        types[f"{len(types)}:{path}"] = name
        if name.rpartition(".")[2] in ROUTERS:
            inside = router_modules(folder, path)
            is_inside_itself = inside.get(path, "").rpartition(".")[2] in ROUTERS
            if is_inside_itself or len(types) > MOST_MODULES:
                raise FoundryError(f"module {path}: Routers inside Routers without an end")
            waiting += inside.items()
    return types


def transformer_path(folder: Path) -> str:
    """Where a checkpoint's transformer stands: where its first module does, or the first transformer in a Router.

    Raises:
        FoundryError: as `module_types` does.
    """
    rows = module_rows(folder)
    if not rows or rows[0]["type"].rpartition(".")[2] not in ROUTERS:
        return str(rows[0]["path"]) if rows else ""
    inside = router_modules(folder, str(rows[0]["path"]))
    return next((path for path, name in inside.items() if name.endswith("Transformer")), "")


def module_folders(folder: Path) -> list[str]:
    """The folder of every module, relative to the checkpoint.

    Raises:
        FoundryError: as `module_types` does.
    """
    return [key.partition(":")[2] for key in module_types(folder)]


def check_module_folders(folder: Path) -> None:
    """Check that each module that has settings has a folder.

    Raises:
        FoundryError: naming the module.
    """
    for row in module_rows(folder):
        # Normalize and Dropout may have none: git keeps no empty folder.
        if row["path"] and not row["type"].endswith(("Normalize", "Dropout")) and not (folder / row["path"]).is_dir():
            raise FoundryError(
                f"module {row['path']} ({row['type']}) is in modules.json, but its folder is not there, or holds "
                "none of a module's files"
            )
