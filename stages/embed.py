"""Freeze the reference of every variant: torch's embeddings and scores."""

from pathlib import Path

from foundry.base import command, settings
from foundry.reference import freezing
from foundry.reference.settings import Embed


def main(settings_file: Path, torch: Path, other_side: Path, validation_texts: Path, tasks: Path, out: Path) -> None:
    freezing.build(torch, other_side, validation_texts, tasks, settings.read(settings_file, Embed).batch_size, out)


if __name__ == "__main__":
    command.run(main)
