"""Show what got slower, faster, worse or better between two machines, or two revisions. A command.

    python -m foundry.commands.compare minilm --revision v1.0 --revision HEAD
    python -m foundry.commands.compare minilm --host amd-epyc-2-cores-1a2b3c --host xeon-8-cores-4d5e6f

A difference in speed is shown where the intervals of both ratios to torch do not overlap. Torch is that of the same
machine and revision, so what changed in torch itself, or in the machine, stands in texts a second alone.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.params import reading
from foundry.reporting import differences
from foundry.reporting.differences import Difference, Side
from foundry.tracking import versions

ARTIFACTS = Path("artifacts")


def print_table(before: Side, after: Side, found: list[Difference], everything: bool) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    shown = [row for row in found if everything or row["verdict"] != "same"]
    table = Table(title=f"{before['name']} → {after['name']}", title_justify="left")
    for column in ("variant", "what", before["name"], after["name"], ""):
        table.add_column(column)
    colours = {"slower": "bold red", "worse": "bold red", "gone": "yellow", "faster": "green", "better": "green"}
    for row in shown:
        style = colours.get(row["verdict"], "default")
        table.add_row(row["variant"], row["what"], row["before"], row["after"], f"[{style}]{row['verdict']}[/]")
    console = Console(width=None if sys.stdout.isatty() else 160)
    if shown:
        console.print(table)
    console.print(f"{len(found) - sum(row['verdict'] != 'same' for row in found)} of {len(found)} are the same.")


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    revision: Annotated[list[str] | None, typer.Option(help="A git revision; give two.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A machine; give two, or one for both revisions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write all of it to this JSON file, too.")] = None,
) -> None:
    from foundry.base import files

    settings = reading.read()
    variants, revisions, hosts = settings.variant_names, revision or [], host or []
    if model not in settings.models:
        raise FoundryError(f"{model} is no model; params.yaml has {', '.join(settings.models)}")
    if len(revisions) == 2 and len(hosts) <= 1:
        sides = [versions.read_revision(model, one, hosts[0] if hosts else None, variants) for one in revisions]
    elif not revisions and len(hosts) == 2:
        sides = [versions.read_host(model, one, variants) for one in hosts]
    else:
        raise FoundryError(
            f"got {len(revisions)} revisions and {len(hosts)} hosts; give --revision twice (and at most one --host), "
            "or --host twice"
        )
    found = differences.differences(sides[0], sides[1])
    print_table(sides[0], sides[1], found, everything)
    if out is not None:
        files.write_json(out, found)


if __name__ == "__main__":
    command.run(main)
