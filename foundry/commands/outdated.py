"""Say what has moved on since it was pinned: the branches of sources on the Hub, and the toolchain. A command.

    python -m foundry.commands.outdated [--write]     # with `--write`, sources in params.yaml are pinned to where they are now

Exit code 0 when all is as pinned, 3 when something has moved on, 1 when that could not be found out.
"""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from packaging.requirements import Requirement

from foundry.base import command, files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.params import reading
from foundry.publishing.hub.retries import with_retries

MOVED = 3  # the exit code
BRANCH = "main"


class Pinned(NamedTuple):
    """A source on the Hub."""

    where: str  # in params.yaml
    repo: str
    kind: str  # `model` or `dataset`
    revision: str


class Row(NamedTuple):
    """One thing that may have moved on."""

    what: str
    pinned: str
    now: str
    allowed: bool  # by the ranges in pyproject.toml; what is not has not moved on for this project


def pinned_sources(value: Any, where: str = "") -> Iterator[Pinned]:
    """Every source on the Hub in params.yaml, wherever it stands."""
    if isinstance(value, Mapping):
        if isinstance(value.get("hub"), str) and "revision" in value:
            kind = "model" if where.startswith("models.") else "dataset"
            yield Pinned(where, value["hub"], kind, str(value["revision"]))
        for key, part in value.items():
            yield from pinned_sources(part, f"{where}.{key}" if where else str(key))


def head(one: Pinned) -> str:
    """The commit that the branch is at now.

    Raises:
        FoundryError: when the Hub does not say.
    """
    from huggingface_hub import HfApi

    info = with_retries(lambda: HfApi().repo_info(one.repo, repo_type=one.kind, revision=BRANCH), one.repo)
    return str(info.sha)


def newer_packages() -> list[Row]:
    """The packages that pyproject.toml names and that have a newer version, as pip sees it.

    Raises:
        FoundryError: when pip finds no index.
    """
    wanted = {one.name.lower(): one for one in map(Requirement, importlib.metadata.requires("embedding-foundry") or [])}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--outdated", "--format", "json", "--disable-pip-version-check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise FoundryError(f"pip cannot say what is newer: {done.stderr.strip().splitlines()[-1]}")
    return [
        Row(row["name"], row["version"], row["latest_version"], wanted[name].specifier.contains(row["latest_version"]))
        for row in json.loads(done.stdout)
        if (name := row["name"].lower()) in wanted
    ]


def pin(path: Path, moved: Mapping[str, str]) -> None:
    """Write other commits into params.yaml in the place of those that stand there; all else stays as it is."""
    text = path.read_text(encoding="utf-8")
    for before, after in moved.items():
        text = text.replace(before, after)
    with files.replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def main(
    write: Annotated[bool, typer.Option("--write", help="Pin sources to where they are now.")] = False,
    toolchain: Annotated[bool, typer.Option(help="Look at packages, too.")] = True,
) -> None:
    import yaml
    from rich.console import Console
    from rich.table import Table

    reading.read()  # says what is wrong with it
    sources = list(pinned_sources(yaml.safe_load(reading.PARAMS.read_text(encoding="utf-8"))))
    now = {one: head(one) for one in sources}
    moved = {one: commit for one, commit in now.items() if commit != one.revision}
    rows = [Row(f"{one.where} ({one.repo})", one.revision, commit, True) for one, commit in moved.items()]
    rows += newer_packages() if toolchain else []
    table = Table(title="has moved on", title_justify="left")
    for name in ("what", "pinned", "now", ""):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(row.what, row.pinned, row.now, "" if row.allowed else "beyond the range in pyproject.toml")
    if rows:
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    if not any(row.allowed for row in rows):
        say(f"{len(sources)} sources on the Hub", " and the toolchain" if toolchain else "", ": as pinned")
        return
    if write and moved:
        pin(reading.PARAMS, {one.revision: commit for one, commit in moved.items()})
        say(f"{reading.PARAMS}: {len(moved)} sources pinned anew")
    raise typer.Exit(MOVED)


if __name__ == "__main__":
    command.run(main)
