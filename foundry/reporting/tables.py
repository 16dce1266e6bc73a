"""The rows of the report as flat tables: report.csv, plots.csv and DVC's metrics."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from foundry.benchmarking.speeds import typical
from foundry.benchmarking.timings import Ratio
from foundry.reporting.rows import Row, Use, ratio_to_torch
from foundry.variants.precisions import FURTHER

# What `dvc metrics` shows of a variant, and of it on each group of texts.
METRICS = ("verdict", "loss", "mean_cosine", "min_cosine", "recall_at_10", "task_ratio", "size_mb", "memory_mb")
METRICS_OF_A_GROUP = ("speed_ratio", "latency_ms")


def flat(row: Row) -> dict[str, Any]:
    """A row as columns of one table: each check by its name, and each speed by its group of texts and its name."""
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if name == "precisions":
            columns |= {f"verdict_in_{precision}": row["precisions"].get(precision) for precision in FURTHER}
        elif name == "uncovered_scripts":
            columns[name] = ", ".join(row["uncovered_scripts"])
        elif name == "fails_on":
            columns[name] = ", ".join(row["fails_on"])
        elif name == "search":  # a table of its own
            continue
        elif name == "requests":
            times = row["requests"]
            columns |= {f"requests_{key}": typical(times[key]) if times else None for key in ("p50_ms", "p95_ms")}
        elif name == "checks":
            columns |= row["checks"]
        elif name == "speeds":
            for group, measured in row["speeds"].items():
                columns |= {f"{group}_{column}": cell for column, cell in _flat_speeds(measured).items()}
        else:
            columns[name] = value
    return columns


def _flat_speeds(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one group of texts; a ratio is three columns, also where it is None."""
    columns: dict[str, Any] = {}
    for name, value in measured.items():
        if name in ("speed_ratio", "latency_ratio"):
            ratio: Ratio | dict[str, float] = value or {}
            columns |= {name: ratio.get("median"), f"{name}_low": ratio.get("low"), f"{name}_high": ratio.get("high")}
        else:
            columns[name] = value
    return columns


def metrics(row: Row) -> dict[str, Any]:
    """What `dvc metrics show` compares between versions: the verdict and the numbers that decide."""
    columns = flat(row)
    names = (*METRICS, *(f"{group}_{name}" for group in row["speeds"] for name in METRICS_OF_A_GROUP))
    return {name: columns[name] for name in names if columns.get(name) is not None}


def plot_rows(table: Sequence[Row]) -> list[dict[str, Any]]:
    """What `dvc plots` draws: one row per variant, with its speed ratios' geometric mean over the groups of texts."""
    plotted = []
    for row in table:
        speed, latency = _ratios(row, "speed"), _ratios(row, "latency")
        if speed and latency and row["verdict"] != "setting":
            plotted.append(
                {
                    "variant": f"{row['model']}/{row['variant']}",
                    "speed_ratio": round(geometric_mean(speed), 3),
                    "latency_ratio": round(geometric_mean(latency), 3),
                    "loss": row["loss"],
                    "size_mb": row["size_mb"],
                }
            )
    return plotted


def _ratios(row: Row, use: Use) -> list[float]:
    """A row's ratios to torch on all groups of texts, without those that are 0 after rounding."""
    ratios = (ratio_to_torch(row, group, use) for group in row["speeds"])
    return [ratio["median"] for ratio in ratios if ratio and ratio["median"]]


def write_csv(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write flat rows, with a column for every key that any of them has."""
    columns = list(dict.fromkeys(key for row in table for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
