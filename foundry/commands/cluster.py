"""Run the stages on several machines at once, by Ray.

For example: foundry cluster --local 2 (two stages at a time on this machine), or foundry cluster --address auto
report (on the cluster that runs here, what `dvc repro report` would run).

Each stage runs where `cluster:` in params.yaml says, in a clone of its own. At the end dvc.lock is what `dvc repro`
on one machine would have written, and every output is here. Needs the extra `cluster`.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.errors import FoundryError
from foundry.base.progress import say


def main(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Stages, such as `report`, with all they need. All by default.")
    ] = None,
    local: Annotated[int | None, typer.Option(min=1, help="Start Ray here, for so many stages at once.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; `auto` is the one that runs here.")] = None,
    clone_from: Annotated[
        str | None, typer.Option(help="Where machines clone; the remote `origin` by default.")
    ] = None,
    timings: Annotated[Path | None, typer.Option(help="Write here, as JSON, what each stage took.")] = None,
) -> None:
    if (local is None) == (address is None):
        raise FoundryError("give one of --local N and --address ADDRESS")
    from foundry.cluster import driver
    from foundry.params import reading

    run, _ = driver.drive(reading.read().cluster, targets or [], local, address, clone_from, timings)
    if run:
        say(f"{run} stages run: ", ("good", "green"))
