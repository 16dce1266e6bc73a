"""Freeze seeded texts for calibration, validation and benchmark, which never share a document or a text; and tasks."""

from foundry.base import command
from foundry.data.sampling import main as main

if __name__ == "__main__":
    command.run(main)
