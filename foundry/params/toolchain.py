"""The packages that pyproject.toml asks for, and their newer versions."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from foundry.base.errors import FoundryError


class NewerPackage(NamedTuple):
    """A package that has a newer version than the one that is installed."""

    name: str
    installed: str
    latest: str
    is_allowed: bool  # by its range in pyproject.toml, and by what is installed beside it


def newer_packages() -> list[NewerPackage]:
    """The packages that pyproject.toml names and that have a newer version, as pip sees it.

    Raises:
        FoundryError: when pip finds no index.
    """
    own = [Requirement(line) for line in importlib.metadata.requires("embedding-foundry") or []]
    wanted = {canonicalize_name(entry.name) for entry in own}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--outdated", "--format", "json", "--disable-pip-version-check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FoundryError(f"pip cannot say what is newer: {last}")
    rows = [(canonicalize_name(row["name"]), row) for row in json.loads(done.stdout)]
    everything = [*own, *requirements_beside()]
    return [
        NewerPackage(
            row["name"], row["version"], row["latest_version"], is_allowed(name, row["latest_version"], everything)
        )
        for name, row in rows
        if name in wanted
    ]


def requirements_beside() -> list[Requirement]:
    """What every package that is installed asks for."""
    lines = [line for distribution in importlib.metadata.distributions() for line in distribution.requires or ()]
    # What a package asks for with an extra, nobody may have asked it for.
    return [entry for entry in map(Requirement, lines) if entry.marker is None or entry.marker.evaluate({"extra": ""})]


def is_allowed(name: str, version: str, requirements: Sequence[Requirement]) -> bool:
    """Whether all these requirements would take a version of the package `name`.

    With optimum installed, transformers stays where optimum can use it, although pyproject.toml allows newer ones.
    """
    return all(entry.specifier.contains(version) for entry in requirements if canonicalize_name(entry.name) == name)
