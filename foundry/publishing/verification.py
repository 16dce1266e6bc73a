"""Whether a folder is what was published: every name of its foundry.json by its bytes, and nothing else in it."""

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from foundry.base import files
from foundry.publishing.provenance import NAME, SIGNATURE, Provenance

# What huggingface_hub and git put into a folder that they download to. Not searched, unless the record names it.
NOT_PUBLISHED = (".cache", ".git", ".gitattributes")
KINDS = {
    stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder",
}  # fmt: skip


def compare(folder: Path, record: Provenance) -> dict[str, str]:
    """What is not as it was published, by name, and what is wrong with it.

    Nothing is followed: a link is a finding, wherever it leads, and so is whatever is no file. A name of the record
    that leads out of the folder, or that differs from another one by case or by the form of its letters alone, is one,
    too: some disks take both for one file.

    Raises:
        OSError: when a folder or a file cannot be read.
    """
    present = entries(folder)
    expected = record["files"]
    findings: dict[str, str] = {}
    for name, digest in expected.items():
        if not is_inside(name):
            findings[name] = "no name of a file in the folder"
        elif name not in present:
            findings[name] = "missing"
        elif not stat.S_ISREG(present[name]):
            findings[name] = KINDS.get(present[name], "no file")
        elif files.sha256(folder / name) != digest:
            findings[name] = "altered"
    for name, mode in present.items():
        if name in expected or name in (NAME, SIGNATURE) or stat.S_ISDIR(mode):
            continue
        if stat.S_ISREG(mode):
            if PurePosixPath(name).parts[0] not in NOT_PUBLISHED:
                findings[name] = "extra"
        else:
            findings[name] = KINDS.get(mode, "no file")
    for name, other in same_but_for_case([*expected, *(name for name in present if stat.S_ISREG(present[name]))]):
        findings.setdefault(name, f"but for its case the same name as {other}")
    return dict(sorted(findings.items()))


def entries(folder: Path) -> dict[str, int]:
    """The kind of everything below a folder, as `stat.S_IFMT` has it, by its name with forward slashes.

    What a download left in `.cache` and `.git` is in it, too, but not what is inside folders that are links.

    Raises:
        OSError: when a folder cannot be read.
    """
    kinds: dict[str, int] = {}
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(folder / prefix) as scanned:
            for entry in scanned:
                name = prefix + entry.name
                kinds[name] = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
                if stat.S_ISDIR(kinds[name]):
                    folders.append(f"{name}/")
    return kinds


def is_inside(name: str) -> bool:
    """Whether a name of a record is that of a file in the folder, on any system."""
    parts = name.split("/")
    return (
        not any(part in ("", ".", "..") or part.endswith((".", " ")) for part in parts)
        and re.search(r'[\\:\x00-\x1f\x7f<>"|?*]', name) is None
    )


def same_but_for_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names of which another one differs by case, or by the form in which Unicode writes its letters, alone."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_key[unicodedata.normalize("NFKC", name).casefold()].add(name)
    pairs = (sorted(same) for same in by_key.values() if len(same) > 1)
    return [(name, same[0] if name != same[0] else same[1]) for same in pairs for name in same]


def printable(name: str) -> str:
    """A name without what a terminal would take for a command."""
    return name if name.isprintable() else ascii(name)
