"""Write the profile of this machine and toolchain: what a benchmark is only valid for."""

from foundry.base import command
from foundry.benchmarking.machine_profile import main as main

if __name__ == "__main__":
    command.run(main)
