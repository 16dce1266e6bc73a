"""Fetch one checkpoint into its `torch` folder: only the files that are needed, each with its hash on record."""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base import command, settings
from foundry.checkpoints import fetching
from foundry.checkpoints.settings import Download


def main(
    model: str, settings_file: Path, out: Path, other_side: Annotated[Path | None, typer.Argument()] = None
) -> None:
    fetching.fetch(model, settings.read(settings_file, Download), out, other_side)


if __name__ == "__main__":
    command.run(main)
