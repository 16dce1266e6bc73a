"""Fetch one checkpoint into its `torch` folder: only the files that are needed, each with its hash on record."""

from foundry.base import command
from foundry.checkpoints.fetching import main as main

if __name__ == "__main__":
    command.run(main)
