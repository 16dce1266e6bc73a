"""Write the profile of this machine, with its library versions, and the precisions that it computes in.

On another machine the benchmark runs again; on one that computes in other precisions, so does validation.
"""

from pathlib import Path

from foundry.base import command, files
from foundry.benchmarking import machine_profile
from foundry.loading import precisions as computed


def main(out: Path, precisions: Path) -> None:
    files.write_json(out, machine_profile.named_profile())
    files.write_json(precisions, {"precisions": computed.of_processor()})


if __name__ == "__main__":
    command.run(main)
