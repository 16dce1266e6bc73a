"""Measure the speed of every variant of a model, in rounds that interleave them, so that drift hits all alike.

A round runs every variant once on each group of texts; a ratio is to torch in the same round, and the result is the
median over the rounds. Speed is that of Sentence Transformers' `encode`, tokenization included.
"""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from stages.shared import command, files, loader, models, params, results, texts
from stages.shared.progress import say, track

BASELINE = "torch"
WARM_UP_TEXTS = 1


def load_all(folder: Path, variants: Sequence[str]) -> tuple[dict[str, Any], dict[str, results.VariantBenchmark]]:
    """Every variant that is there and loads, and the record of each that is there."""
    loaded: dict[str, Any] = {}
    records: dict[str, results.VariantBenchmark] = {}
    for variant in track(variants, "loading"):
        if models.skipped(folder / variant) is not None:
            continue
        size_mb = sum(path.stat().st_size for path in models.weights_files(folder / variant, variant)) / 1e6
        started = time.perf_counter()
        record: results.VariantBenchmark = {
            "size_mb": size_mb,
            "load_seconds": 0.0,
            "speed": {},
            "error": None,
        }
        try:
            loaded[variant] = loader.load(folder / variant, variant)
            record["load_seconds"] = time.perf_counter() - started
        except loader.load_errors() as error:
            record["error"] = str(error).splitlines()[0][:500]
        records[variant] = record
    return loaded, records


def time_rounds(
    loaded: dict[str, Any], groups: dict[str, list[str]], batch_size: int, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds by group, variant and round, in a new order every round.

    Before each measurement the variant runs a few texts untimed: the threads of the variant before it still spin for a
    while, and its own have to wake. In a fixed order that would always cost the same variant.
    """
    order = random.Random(0)
    names = list(loaded)
    seconds: dict[str, dict[str, list[float]]] = {group: {name: [] for name in names} for group in groups}
    for _, group in track([(turn, group) for turn in range(rounds) for group in groups], "measuring"):
        chosen = groups[group]
        order.shuffle(names)
        for name in names:
            loaded[name].encode(chosen[:WARM_UP_TEXTS], batch_size=batch_size, show_progress_bar=False)
            started = time.perf_counter()
            loaded[name].encode(chosen, batch_size=batch_size, show_progress_bar=False)
            seconds[group][name].append(time.perf_counter() - started)
    return seconds


def summarize(count: int, seconds: Sequence[float], baseline: Sequence[float]) -> results.Speed:
    """The speed over `count` texts, from the seconds of each round and those of torch in the same round."""
    ratios = [reference / own for own, reference in zip(seconds, baseline, strict=True)]
    return {
        "texts_per_second": count / median(seconds),
        "ratio": median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def main(model: str, folder: Path, benchmark: Path, host: Path, out: Path) -> None:
    settings = params.read()
    groups = texts.by_group(texts.read(benchmark))
    loaded, records = load_all(folder, settings.variant_names)
    seconds = time_rounds(loaded, groups, settings.benchmark.batch_size, settings.benchmark.rounds)
    for group, by_variant in seconds.items():
        for variant, own in by_variant.items():
            records[variant]["speed"][group] = summarize(len(groups[group]), own, by_variant[BASELINE])
    name: str = files.read_json(host)["host"]
    result: results.Benchmark = {
        "model": model,
        "host": name,
        "batch_size": settings.benchmark.batch_size,
        "rounds": settings.benchmark.rounds,
        "texts": {group: len(chosen) for group, chosen in groups.items()},
        "variants": records,
    }
    files.write_json(out / f"{name}.json", result)
    for variant, record in records.items():
        speeds = ", ".join(f"{group} {speed['ratio']:.2f}x" for group, speed in record["speed"].items())
        say(f"{variant}: {record['error'] or speeds}")


if __name__ == "__main__":
    command.run(main)
