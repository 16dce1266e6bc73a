"""Measure every variant of a model, in rounds that interleave them, each time in a process of its own."""

from foundry.base import command
from foundry.benchmarking.session import main as main

if __name__ == "__main__":
    command.run(main)
