"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

from foundry.base import command
from foundry.reporting.report import main as main

if __name__ == "__main__":
    command.run(main)
