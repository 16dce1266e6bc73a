"""Measure every variant of a model, in rounds that interleave them, each time in a process of its own."""

from pathlib import Path

from foundry.base import command, files, settings
from foundry.base.progress import say
from foundry.benchmarking import devices, planning, session, speeds
from foundry.benchmarking.settings import BenchmarkModel
from foundry.data import texts


def main(model: str, settings_file: Path, folder: Path, benchmark_texts: Path, host: Path, out: Path) -> None:
    wanted = settings.read(settings_file, BenchmarkModel)
    machine = files.read_json(host)
    groups = texts.by_group(texts.read(benchmark_texts))
    for device in devices.to_measure(machine["gpus"], wanted.cuda_effort_name):
        effort_name, effort = wanted.effort_on(device)
        rows = planning.rows_to_measure(folder, wanted.variants, wanted.settings, device)
        result = session.benchmark(model, folder, rows, groups, machine, effort_name, effort, device)
        files.write_json(out / f"{speeds.measured_on(machine['host'], device)}.json", result)
        for line in speeds.summary(result):
            say(line)


if __name__ == "__main__":
    command.run(main)
