"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

from pathlib import Path

from foundry.base import command, files, settings
from foundry.reporting import report, terminal
from foundry.reporting.settings import ReportAll


def main(settings_file: Path, validation: Path, benchmarks: Path, host: Path, out: Path, metrics: Path) -> None:
    wanted = settings.read(settings_file, ReportAll)
    for section in report.build(wanted, validation, benchmarks, files.read_json(host), out, metrics):
        terminal.print_table(section)


if __name__ == "__main__":
    command.run(main)
