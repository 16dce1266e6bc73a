"""Compare every output with dvc.lock, byte for byte: in the workspace, in DVC's cache and in its remote.

DVC only looks at a file's time and size, so it hands out and pushes a damaged file of its cache.
"""

import functools
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from foundry.base.progress import track
from foundry.tracking import lock
from foundry.tracking.repository import open_repository

Place = Literal["workspace", "cache", "remote"]


class Finding(NamedTuple):
    """One thing that is not as dvc.lock has it."""

    place: Place
    output: str  # its path in the workspace
    what: str  # the output, or the object of the cache or the remote, that is wrong
    difference: lock.Difference
    remedy: str  # a sentence that says how to put it right


class Audit(NamedTuple):
    """What was compared, and what was wrong."""

    outputs: int  # that were compared
    obsolete: list[str]  # outputs in dvc.lock that dvc.yaml does not have
    has_remote: bool  # a remote is set up
    findings: list[Finding]

    def count(self, place: Place) -> int:
        """How many outputs are wrong there."""
        return len({finding.output for finding in self.findings if finding.place == place})


def audit(remote: str | None = None, skip_remote: bool = False, without: Collection[str] = ()) -> Audit:
    """Compare the outputs of dvc.yaml with dvc.lock.

    What DVC does not keep, and a fresh clone therefore lacks, is compared where it is there.

    Args:
        remote: A name of DVC's, by default that of its default one.
        skip_remote: Compare with the workspace and the cache alone.
        without: Stages, such as `publish`, whose outputs are not compared.

    Raises:
        FoundryError: when there is no DVC project, or no dvc.lock that can be read.
    """
    from dvc.config import NoRemoteError

    locked = lock.outputs()
    repository = open_repository()
    root = Path(repository.root_dir)
    known = {Path(out.fs_path).relative_to(root).as_posix(): out for out in repository.index.outs}
    is_cached = {name: out.use_cache for name, out in known.items() if _stage(out) not in without}
    outputs = {name: digest for name, digest in locked.items() if name in is_cached}
    # What is written afresh each time is in the workspace alone.
    stored = {name: digest for name, digest in outputs.items() if is_cached[name]}
    present = [name for name in outputs if is_cached[name] or Path(name).exists()]
    findings = [*check_workspace(present), *check_store(repository.cache.local, stored, "cache")]
    has_remote = True
    if not skip_remote:
        try:
            store = repository.cloud.get_remote_odb(remote)
        except NoRemoteError:
            has_remote = False
        else:
            findings += check_store(store, stored, "remote")
    return Audit(len(outputs), sorted(locked.keys() - known.keys()), has_remote, findings)


def _stage(out: Any) -> str:
    """The name of the stage that makes an output, without its item of a matrix."""
    return str(out.stage.name).partition("@")[0]


def check_workspace(names: list[str]) -> Iterator[Finding]:
    """What is wrong in the workspace."""
    differences = lock.compare(track([Path(name) for name in names], "checking the workspace"))
    for name, difference in differences.items():
        remedy = f"`dvc checkout --force {name}` takes it from the cache, once that is right"
        yield Finding("workspace", name, name, difference, remedy)


def check_store(store: Any, outputs: dict[str, str], place: Literal["cache", "remote"]) -> Iterator[Finding]:
    """What is wrong in a cache or a remote: each object that is missing or altered, once for every output it is of.

    An output that is a folder has an object for the list of its files and one for each of these; where the list is
    missing or damaged, it alone is named.
    """
    check = functools.cache(functools.partial(check_object, store))  # outputs share objects
    for name, output_digest in track(list(outputs.items()), f"checking the {place}"):
        digests = [output_digest]
        if output_digest.endswith(".dir") and check(output_digest) is None:
            with store.fs.open(store.oid_to_path(output_digest), "rb") as file:
                digests += [row["md5"] for row in json.load(file)]
        for digest in digests:
            if (difference := check(digest)) is not None:
                path = store.oid_to_path(digest)
                yield Finding(place, name, f"{path}, of {name},", difference, remedy_in(place, path, name))


def remedy_in(place: Literal["cache", "remote"], path: str, output: str) -> str:
    """How to put an object right that is damaged or missing in a cache or a remote."""
    if place == "remote":
        return f"remove {path} there, then `dvc push {output}` from a cache that is right"
    return f"`rm -f {path}`, then `dvc fetch {output}` or `dvc commit --force {output}`, or build it again"


def check_object(store: Any, digest: str) -> lock.Difference | None:
    """Whether an object of a cache or a remote has the bytes that its hash says."""
    from dvc_data.hashfile.hash import file_md5

    try:
        actual = file_md5(store.oid_to_path(digest), store.fs)
    except FileNotFoundError:
        return "missing"
    return "altered" if actual != digest.removesuffix(".dir") else None
