"""What a rebuild made, in one file: for a job that may write, and that runs nothing of what it is given.

The job that builds runs code of models, so what comes from it is checked: a bundle holds dvc.lock, params.yaml, objects
of DVC's cache, whose names are the hashes of their bytes, and DVC's notes of runs; nothing else, and no links.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.tracking import lock, recovery
from foundry.tracking.repository import open_repository

PARAMS = Path("params.yaml")
TEXTS = (lock.LOCK.as_posix(), PARAMS.as_posix())
OBJECT = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{30})(\.dir)?")
RUN = re.compile(r"runs/([0-9a-f]{2})/(\1[0-9a-f]{62})/([0-9a-f]{64})")
CHUNK_BYTES = 1 << 20


def pack(target: Path) -> int:
    """Write dvc.lock, params.yaml, the notes of runs, and the objects that the committed dvc.lock does not have.

    Returns:
        How many objects.

    Raises:
        FoundryError: when DVC's cache lacks an object.
    """
    repository = open_repository()
    store = repository.cache.local
    root = Path(repository.root_dir)
    stored = {Path(out.fs_path).relative_to(root).as_posix() for out in repository.index.outs if out.use_cache}
    committed = {*objects(store, committed_outputs(), required=False)}
    built = [digest for name, digest in lock.outputs().items() if name in stored]
    new = sorted({*objects(store, built, required=True)} - committed)
    with files.replacing(target) as partial, tarfile.open(partial, "w") as archive:
        for name in TEXTS:
            archive.add(name)
        for digest in new:
            archive.add(store.oid_to_path(digest), f"objects/{digest[:2]}/{digest[2:]}")
        runs = Path(repository.stage_cache.cache_dir)
        for path in files.files_below(runs) if runs.is_dir() else ():
            if RUN.fullmatch(f"runs/{path.as_posix()}"):  # not what a killed DVC left half-written
                archive.add(runs / path, f"runs/{path.as_posix()}")
    return len(new)


def committed_outputs() -> list[str]:
    """DVC's hash of every output in the dvc.lock that is committed; empty where none is."""
    content = recovery.committed()
    return [] if content is None else [*lock.outputs_of(lock.parse(content)).values()]


def objects(store: Any, digests: Iterable[str], required: bool) -> Iterator[str]:
    """The hash of every object of these outputs: of a folder, that of its list and that of each of its files.

    Raises:
        FoundryError: when the list of a folder is not in DVC's cache, and is `required`.
    """
    for digest in digests:
        path = Path(store.oid_to_path(digest))
        if required and not path.is_file():
            raise FoundryError(
                f"{path} is not there, which {lock.LOCK} names: `dvc commit` or `dvc fetch` puts it there"
            )
        yield digest
        if digest.endswith(".dir") and path.is_file():
            yield from (row["md5"] for row in json.loads(path.read_bytes()))


def unpack(source: Path, check_params: Callable[[str, str], None]) -> int:
    """Put what a bundle holds where DVC and git expect it. All of it is checked before params.yaml or dvc.lock change.

    Args:
        check_params: Raises an error where the second text of params.yaml is not to replace the first.

    Returns:
        How many objects.

    Raises:
        FoundryError: when something is in the bundle that does not belong there, or is not what its name says.
    """
    repository = open_repository()
    store, runs = repository.cache.local, Path(repository.stage_cache.cache_dir)
    texts: dict[str, str] = {}
    count = 0
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                if not member.isreg():
                    raise FoundryError(f"{source}: {member.name!r} is no file")
                content: Any = archive.extractfile(member)
                if member.name in TEXTS:
                    texts[member.name] = content.read().decode()
                elif match := OBJECT.fullmatch(member.name):
                    digest = "".join(part or "" for part in match.groups())
                    write_object(content, digest, Path(store.oid_to_path(digest)))
                    count += 1
                elif RUN.fullmatch(member.name):
                    with files.replacing(runs / member.name.removeprefix("runs/")) as partial:
                        partial.write_bytes(content.read())
                else:
                    raise FoundryError(f"{source}: {member.name!r} does not belong into a bundle")
    except (tarfile.TarError, UnicodeDecodeError, OSError) as error:
        raise FoundryError(f"{source} is no bundle that can be read: {error}") from error
    if missing := [name for name in TEXTS if name not in texts]:
        raise FoundryError(f"{source} lacks {', '.join(missing)}")
    lock.outputs_of(lock.parse(texts[lock.LOCK.as_posix()].encode()))
    check_params(PARAMS.read_bytes().decode(), texts[PARAMS.as_posix()])
    for name, text in texts.items():
        with files.replacing(Path(name)) as partial:
            partial.write_bytes(text.encode())
    return count


def write_object(content: Any, digest: str, path: Path) -> None:
    """Write an object of DVC's cache, if its bytes have the hash that it is called by.

    Raises:
        FoundryError: when they have not.
    """
    if path.is_file():
        return
    with files.replacing(path) as partial:
        md5 = hashlib.md5(usedforsecurity=False)
        with partial.open("wb") as file:
            while chunk := content.read(CHUNK_BYTES):
                md5.update(chunk)
                file.write(chunk)
        if md5.hexdigest() != digest.removesuffix(".dir"):
            raise FoundryError(f"the object {digest} of the bundle has other bytes than its name says")
        partial.chmod(0o444)  # as DVC has them
