"""Pack what a rebuild made into one file, or unpack it.

For the scheduled workflow: the job that builds may not write anywhere, and hands the file to the job that proposes.
With --unpack, nothing is taken but what belongs there: dvc.lock, params.yaml where nothing differs but commits of
sources whose code does not run, and objects of DVC's cache that have the hash in their name.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    file: Annotated[Path, typer.Argument(help="The file to write, or to unpack.")],
    unpack: Annotated[bool, typer.Option("--unpack", help="Put what is in the file in its place.")] = False,
) -> None:
    from foundry.params import pins
    from foundry.tracking import bundle

    if unpack:
        count = bundle.unpack(file, pins.check_commits_alone_differ)
        say(f"dvc.lock, params.yaml and {count} objects of DVC's cache: unpacked from {file}")
    else:
        count = bundle.pack(file)
        say(f"{file}: {count} objects of DVC's cache, {file.stat().st_size / 1e6:,.0f} MB")
