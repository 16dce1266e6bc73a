"""The speeds in a row of the report: of one way to run a file, on each group of texts of a benchmark."""

from typing import TypedDict

from foundry.benchmarking import speeds
from foundry.benchmarking.speeds import Benchmark
from foundry.benchmarking.timings import Ratio


class Speeds(TypedDict):
    """One variant on one group of texts; every value is None where it was not measured."""

    texts_per_second: float | None  # in batches of `batch_size`
    tokens_per_second: float | None
    batch_size: int | None  # at which the variant is fastest; None where batches are cut by tokens
    speed_ratio: Ratio | None  # to torch, in batches
    latency_ratio: Ratio | None  # to torch, one text at a time
    latency_ms: float | None  # the median of single texts
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    tokenization_share: float | None  # of the variant's time
    peak_share: float | None  # of the machine's fastest matrix product


def speeds_by_group(variant: str, precision: str, benchmark: Benchmark | None) -> dict[str, Speeds]:
    """A variant's speeds on every group of texts of a benchmark."""
    if benchmark is None:
        return {}
    record = benchmark["variants"].get(variant)
    return {
        group: measured_speeds(benchmark, variant, group, precision)
        if record and record["texts_per_second"].get(group)
        else not_measured()
        for group in benchmark["groups"]
    }


def measured_speeds(benchmark: Benchmark, variant: str, group: str, precision: str) -> Speeds:
    """What a benchmark says of a variant on one group of texts that it was measured on."""
    record = benchmark["variants"][variant]
    rate = speeds.typical(speeds.rounds_of(record, group))
    tokens = rate * benchmark["groups"][group]["tokens_per_text"] if rate else None
    batch_size = speeds.best_batch(record, group)
    times = record["latency"].get(group)
    return {
        "texts_per_second": rounded(rate, 1),
        "tokens_per_second": rounded(tokens, 0),
        "batch_size": speeds.texts_in(batch_size),
        "speed_ratio": rounded_ratio(speeds.to_torch(benchmark, variant, group)),
        "latency_ratio": rounded_ratio(speeds.to_torch(benchmark, variant, group, speeds.SINGLE)),
        "latency_ms": rounded(times["median_ms"], 2) if times else None,
        "latency_p95_ms": rounded(times["p95_ms"], 2) if times else None,
        "latency_p99_ms": rounded(times["p99_ms"], 2) if times else None,
        "tokenization_share": rounded(speeds.tokenization_share(benchmark, variant, group), 3),
        "peak_share": rounded(speeds.peak_share(benchmark, variant, group, precision), 3),
    }


def not_measured() -> Speeds:
    """The speeds of a variant that was not measured on a group of texts."""
    return {
        "texts_per_second": None, "tokens_per_second": None, "batch_size": None, "speed_ratio": None,
        "latency_ratio": None, "latency_ms": None, "latency_p95_ms": None, "latency_p99_ms": None,
        "tokenization_share": None, "peak_share": None,
    }  # fmt: skip


def rounded(value: float | None, digits: int) -> float | None:
    """A number with so many digits after the point, or None."""
    return None if value is None else round(value, digits)


def rounded_ratio(value: Ratio | None) -> Ratio | None:
    """A ratio and its interval with two digits after the point, or None."""
    if value is None:
        return None
    return {"median": round(value["median"], 2), "low": rounded(value["low"], 2), "high": rounded(value["high"], 2)}
