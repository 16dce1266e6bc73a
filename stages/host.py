"""Write the profile of this machine, the precisions that it computes in, and the versions of its libraries.

On another machine the benchmark runs again; on one that computes in other precisions, so does validation; and with
other libraries, everything.
"""

from pathlib import Path

from foundry.base import command, files, packages
from foundry.benchmarking import machine_profile


def main(out: Path, precisions: Path, toolchain: Path) -> None:
    files.write_json(toolchain, packages.toolchain())
    profile = machine_profile.named_profile()
    # This stage runs on every `dvc repro`, and to ask OpenVINO takes longer than all the rest of it.
    if not (out.is_file() and precisions.is_file() and files.read_json(out) == profile):
        from foundry.loading import cuda
        from foundry.loading import precisions as computed

        on_gpu = cuda.of_machine(profile["gpus"])
        files.write_json(precisions, {"precisions": computed.of_processor(), "cuda": on_gpu})
    files.write_json(out, profile)


if __name__ == "__main__":
    command.run(main)
