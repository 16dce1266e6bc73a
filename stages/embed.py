"""Freeze the reference of every variant: torch's embeddings of the validation and of hard texts, and its scores."""

from foundry.base import command
from foundry.reference.freezing import main as main

if __name__ == "__main__":
    command.run(main)
