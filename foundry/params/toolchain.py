"""The packages that pyproject.toml asks for and their newer versions, and advisories against what is installed."""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from foundry.base.errors import FoundryError


class NewerPackage(NamedTuple):
    """A package that has a newer version than the one that is installed."""

    name: str
    installed: str
    latest: str
    is_allowed: bool  # by its range in pyproject.toml, and by what is installed beside it


class Advisory(NamedTuple):
    """What is known against a version that is installed."""

    name: str
    installed: str
    ids: tuple[str, ...]  # CVEs where they have such numbers
    fixed_in: tuple[str, ...]  # the first fixed versions
    is_fixable: bool  # by a version that `is_allowed`


def newer_packages() -> list[NewerPackage]:
    """The packages that pyproject.toml names and that have a newer version, as pip sees it.

    Raises:
        FoundryError: when pip finds no index.
    """
    own = own_requirements()
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


def own_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, with every extra."""
    return [Requirement(line) for line in importlib.metadata.requires("embedding-foundry") or []]


def advisories() -> list[Advisory]:
    """The advisories that PyPI knows against what is installed, as pip-audit reads them, one for each package.

    Raises:
        FoundryError: when they cannot be read of a package that pyproject.toml names: pip-audit passes over what it
            does not find.
    """
    installed = {
        canonicalize_name(distribution.name): distribution.version.partition("+")[0]
        for distribution in importlib.metadata.distributions()
        if distribution.name != "embedding-foundry"
    }
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "installed.txt"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in sorted(installed.items())))
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip",
             "--format", "json", "--desc", "off", "--aliases", "on", "--progress-spinner", "off"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    try:  # with advisories the exit code is that of an error, too
        rows: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FoundryError(f"pip-audit cannot read the advisories: {last}") from error
    own = own_requirements()
    wanted = {canonicalize_name(entry.name) for entry in own}
    if unknown := [row["name"] for row in rows if "skip_reason" in row and row["name"] in wanted]:
        raise FoundryError(f"no advisories can be read of {', '.join(unknown)}: the service does not know them")
    everything = [*own, *requirements_beside()]
    return [_advisory(row, everything) for row in rows if row.get("vulns")]


def _advisory(row: dict[str, Any], requirements: Sequence[Requirement]) -> Advisory:
    ids = [next((name for name in entry["aliases"] if name.startswith("CVE")), entry["id"]) for entry in row["vulns"]]
    fixed_in = [version for entry in row["vulns"] for version in entry["fix_versions"]]
    # Each may be fixed in several lines of versions: by one that is newer, and that may be installed.
    is_fixable = all(
        any(
            Version(version) > Version(row["version"]) and is_allowed(row["name"], version, requirements)
            for version in entry["fix_versions"]
        )
        for entry in row["vulns"]
    )
    return Advisory(
        row["name"], row["version"], tuple(sorted({*ids})), tuple(sorted({*fixed_in}, key=Version)), is_fixable
    )


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
