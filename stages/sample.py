"""Freeze seeded texts for calibration, validation and benchmark, and the labelled tasks."""

from pathlib import Path

from foundry.base import command, settings
from foundry.data import sampling
from foundry.data.settings import Sample


def main(settings_file: Path, out: Path) -> None:
    sampling.sample(settings.read(settings_file, Sample), out)


if __name__ == "__main__":
    command.run(main)
