"""Show what moved on since it was pinned.

That is, sources on the Hub, the packages of the toolchain, and advisories against any package that is installed. Exit
code 0 when all is as pinned, 3 when something has moved on, 1 when that could not be found out. A package counts when
its newer or fixed version is within its range in pyproject.toml.
A source whose Python files run here (`trust_remote_code` or `code_revision`) is never pinned anew by --write: read what
changed there, and pin it yourself.
"""

from typing import Annotated, NamedTuple

import typer

from foundry.base.progress import say

MOVED = 3  # the exit code


class Row(NamedTuple):
    """A line of the table."""

    what: str
    pinned: str
    now: str
    why_not: str = ""  # nothing can be done about it within the ranges of pyproject.toml


def print_table(rows: list[Row]) -> None:
    """Print what has moved on."""
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(title="has moved on", title_justify="left")
    for name in ("what", "pinned"):
        table.add_column(name, no_wrap=True)
    for name in ("now", ""):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def main(
    write: Annotated[
        bool,
        typer.Option("--write", help="Pin sources in params.yaml to where they are now, unless their code runs here."),
    ] = False,
    toolchain: Annotated[bool, typer.Option(help="Look at packages, too.")] = True,
) -> None:
    from foundry.params import pins, reading
    from foundry.params.toolchain import advisories, newer_packages

    reading.read()  # names every mistake in it
    sources = list(pins.pinned_sources(reading.read_yaml(reading.PARAMS)))
    commits = {source: pins.current_commit(source.repo, source.kind) for source in sources}
    moved = {source: commit for source, commit in commits.items() if commit != source.revision}
    rows = [Row(f"{source.where} ({source.repo})", source.revision, commit) for source, commit in moved.items()]
    if toolchain:
        rows += [
            Row(name, installed, latest, "" if allowed else "beyond the range in pyproject.toml")
            for name, installed, latest, allowed in newer_packages()
        ]
        rows += [
            Row(name, installed, f"{', '.join(ids)}; fixed in {', '.join(fixed_in) or 'none yet'}",
                "" if fixable else "fixed by no version within the range in pyproject.toml")
            for name, installed, ids, fixed_in, fixable in advisories()
        ]  # fmt: skip
    if rows:
        print_table(rows)
    if all(row.why_not for row in rows):
        say(f"{len(sources)} sources on the Hub", " and the toolchain" if toolchain else "", ": as pinned")
        return
    unread = {source: commit for source, commit in moved.items() if source.runs_code}
    data = {source: commit for source, commit in moved.items() if not source.runs_code}
    if write and data:
        pins.pin(reading.PARAMS, data)
        say(f"{reading.PARAMS}: {len(data)} sources pinned to their present commits")
    for source, commit in unread.items():
        say(
            f"{source.where}: ", ("not pinned anew", "yellow"), f", because Python files of {source.repo} run here. "
            f"Read what changed there since {source.revision}, then write `revision: {commit}` yourself"
        )  # fmt: skip
    raise typer.Exit(MOVED)
