"""Write what each stage is to do for each model, so that a changed setting reruns what it touches and nothing else."""

from foundry.base import command
from foundry.params.resolving import main as main

if __name__ == "__main__":
    command.run(main)
