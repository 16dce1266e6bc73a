"""Compare every output with dvc.lock, byte for byte: in the workspace, DVC's cache and its remote; say how to heal.

DVC trusts the time and size of files that it has seen, and hands out and pushes a damaged file of its cache.

python -m foundry.tracking.audit [--remote NAME | --skip-remote]
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.tracking import lock

CHUNK_BYTES = 1 << 20
What = Literal["missing", "altered", "unknown"]


def md5(filesystem: Any, path: str) -> str | None:
    """The MD5 of a file on a filesystem of fsspec's, or None where it is not there."""
    digest = hashlib.md5()
    try:
        with filesystem.open(path, "rb") as file:
            while block := file.read(CHUNK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def objects(store: Any, digest: str) -> Iterator[str]:
    """The hashes of the objects that hold an output: of a folder, the list of its files and each of these.

    Where the list is missing or damaged, it alone.
    """
    yield digest
    if not digest.endswith(".dir"):
        return
    try:
        with store.fs.open(store.oid_to_path(digest), "rb") as file:
            listing = file.read()
    except FileNotFoundError:
        return
    if hashlib.md5(listing).hexdigest() == digest.removesuffix(".dir"):
        yield from (row["md5"] for row in json.loads(listing))


def check_store(store: Any, outputs: dict[str, str], where: str) -> dict[str, dict[str, What]]:
    """What is wrong in a cache or a remote: by output, the objects that are missing or altered."""
    found: dict[str, dict[str, What]] = {}
    seen: dict[str, What | None] = {}
    for name, digest in track(list(outputs.items()), f"checking the {where}"):
        for one in objects(store, digest):
            if one not in seen:
                there = md5(store.fs, store.oid_to_path(one))
                right = one.removesuffix(".dir")
                seen[one] = "missing" if there is None else "altered" if there != right else None
            if (what := seen[one]) is not None:
                found.setdefault(name, {})[one] = what
    return found


def tell(where: str, name: str, what: str, heal: str) -> None:
    say(f"{where}: {name} is ", (what, "bold red"), f"; {heal}")


def main(
    remote: Annotated[str | None, typer.Option(help="DVC's remote; its default one otherwise.")] = None,
    skip_remote: Annotated[bool, typer.Option("--skip-remote", help="Workspace and cache alone.")] = False,
) -> None:
    from dvc.config import NoRemoteError
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    locked = lock.outputs()
    try:
        repo = Repo()
    except NotDvcRepoError as error:
        raise FoundryError(f"this is no DVC repository: {error}") from error
    in_use = {Path(out.fs_path).relative_to(repo.root_dir).as_posix(): out.use_cache for out in repo.index.outs}
    outputs = {name: digest for name, digest in locked.items() if name in in_use}
    if obsolete := sorted(locked.keys() - outputs.keys()):
        say(f"not checked: {', '.join(obsolete)}, which dvc.yaml does not have; `make prune` takes leftovers out")
    for name, what in (
        wrong := lock.compare(track([Path(name) for name in outputs], "checking the workspace"))
    ).items():
        tell("workspace", name, what, f"`dvc checkout --force {name}` takes it from the cache, once that is right")
    stored = {name: digest for name, digest in outputs.items() if in_use[name]}  # not what is written afresh each time
    cache = repo.cache.local
    in_cache = check_store(cache, stored, "cache")
    for name, bad in in_cache.items():
        for one, what in bad.items():
            path = cache.oid_to_path(one)
            heal = f"`rm -f {path}`, then `dvc fetch {name}` or `dvc commit --force {name}`, or build it again"
            tell("cache", f"{path}, of {name},", what, heal)
    in_remote: dict[str, dict[str, What]] = {}
    if not skip_remote:
        try:
            store = repo.cloud.get_remote_odb(remote)
        except NoRemoteError:
            say("remote: none is set up (`dvc remote add --default NAME ADDRESS`)")
        else:
            in_remote = check_store(store, stored, "remote")
            for name, bad in in_remote.items():
                for one, what in bad.items():
                    path = store.oid_to_path(one)
                    heal = f"remove {path} there, then `dvc push {name}` from a cache that is right"
                    tell("remote", f"{path}, of {name},", what, heal)
    if wrong or in_cache or in_remote:
        counts = f"{len(wrong)} in the workspace, {len(in_cache)} in the cache, {len(in_remote)} in the remote"
        raise FoundryError(f"outputs that are not as dvc.lock has them: {counts}, named above")
    say(f"{len(outputs)} outputs: ", ("good", "green"), ", each as dvc.lock has it")


if __name__ == "__main__":
    command.run(main)
