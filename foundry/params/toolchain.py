"""The packages that pyproject.toml asks for, and their newer versions."""

import importlib.metadata
import json
import subprocess
import sys
from typing import NamedTuple

from packaging.requirements import Requirement

from foundry.base.errors import FoundryError


class NewerPackage(NamedTuple):
    """A package that has a newer version than the one that is installed."""

    name: str
    installed: str
    latest: str
    is_allowed: bool  # by its range in pyproject.toml


def newer_packages() -> list[NewerPackage]:
    """The packages that pyproject.toml names and that have a newer version, as pip sees it.

    Raises:
        FoundryError: when pip finds no index.
    """
    wanted = _requirements()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--outdated", "--format", "json", "--disable-pip-version-check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FoundryError(f"pip cannot say what is newer: {last}")
    return [
        NewerPackage(
            row["name"],
            row["version"],
            row["latest_version"],
            all(requirement.specifier.contains(row["latest_version"]) for requirement in wanted[row["name"].lower()]),
        )
        for row in json.loads(done.stdout)
        if row["name"].lower() in wanted
    ]


def _requirements() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, by package; of its extras, those that are installed: some narrow a range."""
    requirements = [Requirement(line) for line in importlib.metadata.requires("embedding-foundry") or []]
    extras: dict[str, list[Requirement]] = {}
    for requirement in requirements:
        extras.setdefault(str(requirement.marker or ""), []).append(requirement)
    wanted: dict[str, list[Requirement]] = {}
    for extra, rows in extras.items():
        if not extra or all(map(_is_installed, rows)):
            for row in rows:
                wanted.setdefault(row.name.lower(), []).append(row)
    return wanted


def _is_installed(requirement: Requirement) -> bool:
    try:
        importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
