"""Show what got slower, faster, worse or better.

Between two machines, or two revisions: foundry compare minilm --revision v1.0 --revision HEAD

A difference in speed is shown where the intervals of both ratios to torch do not overlap. Each ratio is to torch on
the same machine and revision, so a change of torch itself, or of the machine, shows in texts per second alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundry.base.errors import FoundryError

if TYPE_CHECKING:
    from foundry.reporting.differences import Difference, Side

COLOURS = {"slower": "bold red", "worse": "bold red", "gone": "yellow", "faster": "green", "better": "green"}


def print_table(before: "Side", after: "Side", rows: "list[Difference]", everything: bool) -> None:
    """Print the differences, those that are no change only when asked for `everything`, and how many are the same."""
    import sys

    from rich.console import Console
    from rich.table import Table

    from foundry.benchmarking import other_load

    shown = [row for row in rows if everything or row["verdict"] != "same"]
    table = Table(title=f"{before['name']} → {after['name']}", title_justify="left")
    for column in ("variant", "what", before["name"], after["name"], ""):
        table.add_column(column)
    for row in shown:
        style = COLOURS.get(row["verdict"], "default")
        table.add_row(row["variant"], row["what"], row["before"], row["after"], f"[{style}]{row['verdict']}[/]")
    console = Console(width=None if sys.stdout.isatty() else 160)
    for side in (before, after):
        if side["benchmark"] and (load := side["benchmark"]["other_load"]) and load["busy"]:
            console.print(f"{side['name']}: {other_load.describe(load)}", style="bold red", markup=False)
    if shown:
        console.print(table)
    console.print(f"{sum(row['verdict'] == 'same' for row in rows)} of {len(rows)} are the same.")


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    revision: Annotated[list[str] | None, typer.Option(help="A git revision; give two.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="A machine; give two, or only this one of both revisions.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write all of it to this JSON file, too.")] = None,
) -> None:
    from foundry.base import files
    from foundry.params import reading
    from foundry.reporting.differences import differences
    from foundry.tracking import versions

    params = reading.read()
    params.require_model(model)
    variants, revisions, hosts = params.variant_names, revision or [], host or []
    if len(revisions) == 2 and len(hosts) <= 1:
        sides = [versions.read_revision(model, name, hosts[0] if hosts else None, variants) for name in revisions]
    elif not revisions and len(hosts) == 2:
        sides = [versions.read_host(model, name, variants) for name in hosts]
    else:
        raise FoundryError(
            f"got {len(revisions)} revisions and {len(hosts)} hosts; give --revision twice (and at most one --host), "
            "or --host twice"
        )
    rows = differences(sides[0], sides[1])
    print_table(sides[0], sides[1], rows, everything)
    if out is not None:
        files.write_json(out, rows)
