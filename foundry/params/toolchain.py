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
    requirements = map(Requirement, importlib.metadata.requires("embedding-foundry") or [])
    wanted = {requirement.name.lower(): requirement for requirement in requirements}
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
            wanted[row["name"].lower()].specifier.contains(row["latest_version"]),
        )
        for row in json.loads(done.stdout)
        if row["name"].lower() in wanted
    ]
