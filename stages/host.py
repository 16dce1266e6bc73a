"""Write the profile of this machine and its library versions: on another machine the benchmark runs again."""

from pathlib import Path

from foundry.base import command, files
from foundry.benchmarking import machine_profile


def main(out: Path) -> None:
    files.write_json(out, machine_profile.named_profile())


if __name__ == "__main__":
    command.run(main)
