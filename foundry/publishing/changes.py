"""What publishing would change in a repository, file by file, and what it must not touch."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import provenance
from foundry.publishing.provenance import Provenance

CARD = "README.md"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as its listing has it."""

    size: int
    sha256: str | None  # of its content, where LFS keeps it
    blob: str  # git's hash of it

    def same_as(self, path: Path) -> bool:
        """Whether it has the content of a local file."""
        if path.stat().st_size != self.size:
            return False
        return files.sha256(path) == self.sha256 if self.sha256 else git_blob(path) == self.blob


@dataclass
class Changes:
    """Files to be added, changed and deleted, with their sizes in bytes; and those of others that are replaced."""

    added: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # of those changed, the ones that this project had not put there
    kept: list[str] = field(default_factory=list)  # would be deleted, but somebody has changed them since

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.changed or self.deleted)

    def include(self, folder: Path, name: str, remote: Mapping[str, RemoteFile]) -> None:
        """Sort a file of this project's into added, changed or unchanged; deleted, where the folder has it no more."""
        path = folder / name
        if not path.is_file():
            if name in remote:
                self.deleted[name] = remote[name].size
        elif name not in remote:
            self.added[name] = path.stat().st_size
        elif remote[name].same_as(path):
            self.unchanged.append(name)
        else:
            self.changed[name] = path.stat().st_size

    def include_record(self, folder: Path, remote: Mapping[str, RemoteFile]) -> None:
        """Take foundry.json and its signature into account."""
        for name in (provenance.NAME, provenance.SIGNATURE):
            self.include(folder, name, remote)

    def lines(self) -> list[tuple[str, str, int]]:
        """Every file that changes: what happens to it, its name, its size."""
        return sorted(
            (
                (what, name, size)
                for what in ("added", "changed", "deleted")
                for name, size in getattr(self, what).items()
            ),
            key=lambda row: row[1],
        )


def git_blob(path: Path) -> str:
    """Git's hash of a file: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects"""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def compare(
    folder: Path,
    names: Iterable[str],
    remote: Mapping[str, RemoteFile],
    record: Provenance | None,
    graphs: Iterable[str],
    originals: Mapping[str, str],
    sha256_in_repo: Callable[[str], str],
) -> Changes:
    """The changes that put these files into the repository, and take out what this project once put there.

    Args:
        names: Every file to be published, but foundry.json and its signature.
        remote: What the repository holds.
        record: The foundry.json that it holds.
        graphs: Those of `names` that are a variant's own, and may take the place of somebody else's.
        originals: Those of `names` that were written anew, with the SHA-256 that the checkpoint's own file has: of that
            they may take the place, too.
        sha256_in_repo: Gives the SHA-256 of a file in the repository that LFS does not keep.

    Raises:
        FoundryError: when a file of somebody else's stands where one of the model's own would go.
    """
    if provenance.NAME in remote and record is None:
        raise FoundryError(
            f"{provenance.NAME} in the repository is none of format {provenance.FORMAT}: somebody else's"
        )
    changes = Changes()
    uploaded_hashes = {} if record is None else {name: record["files"][name] for name in record["uploaded"]}

    def has(name: str, digest: str | None) -> bool:
        return digest is not None and digest == (remote[name].sha256 or sha256_in_repo(name))

    def is_as_uploaded(name: str) -> bool:
        return has(name, uploaded_hashes.get(name))

    names, graphs = set(names), set(graphs)
    for name in sorted(names):
        changes.include(folder, name, remote)
        if name in changes.changed and name != CARD and not is_as_uploaded(name):
            changes.replaced.append(name)
    if not_ours := [name for name in changes.replaced if name not in graphs and not has(name, originals.get(name))]:
        raise FoundryError(
            f"{', '.join(not_ours)} in the repository is not that of the checkpoint which was built from, and this "
            "project did not put it there: build from that repository's own checkpoint, at its present revision, or "
            "publish to another repository"
        )
    for name in sorted({*uploaded_hashes} - names):
        if name in remote:
            if is_as_uploaded(name):
                changes.deleted[name] = remote[name].size
            else:
                changes.kept.append(name)
    return changes


def uploaded(changes: Changes, record: Provenance | None, names: Iterable[str]) -> list[str]:
    """The files that this project has put into the repository, once the changes are made; the card is not among them,
    because most of it is somebody else's."""
    before = set() if record is None else {*record["uploaded"]}
    return sorted(({*changes.added, *changes.changed} | (before & {*names})) - {CARD})
