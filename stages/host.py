"""Write the profile of this machine, with its library versions, and the precisions that it computes in.

On another machine the benchmark runs again; on one that computes in other precisions, so does validation.
"""

from pathlib import Path

from foundry.base import command, files
from foundry.benchmarking import machine_profile


def main(out: Path, precisions: Path) -> None:
    profile = machine_profile.named_profile()
    # This stage runs on every `dvc repro`, and to ask OpenVINO takes longer than all the rest of it.
    if not (out.is_file() and precisions.is_file() and files.read_json(out) == profile):
        from foundry.loading import precisions as computed

        files.write_json(precisions, {"precisions": computed.of_processor()})
    files.write_json(out, profile)


if __name__ == "__main__":
    command.run(main)
