"""The rows of the report: a variant of a model, with its verdict, closeness, size and speed."""

import csv
from pathlib import Path
from statistics import geometric_mean
from typing import Any, TypedDict

from foundry.benchmarking import speeds
from foundry.reporting.recommendation import Answer, quality_loss, warning
from foundry.validation import results

Row = dict[str, Any]


# The checks that stand in the table at a glance; all of them stand below it, with their thresholds.
SUMMARY = {
    "mean_cosine": "mean cosine",
    "min_cosine": "min",
    "hard_min_cosine": "hard texts",
    "consistency_mean_cosine": "own batch",
    "recall_at_10": "recall@10",
    "task_ratio": "task ratio",
}


# What `dvc metrics` shows; of every group of texts also the two speeds.
METRICS = ("verdict", "mean_cosine", "min_cosine", "recall_at_10", "task_ratio", "size_mb", "memory_mb")


class Section(TypedDict):
    """What the report shows of one model."""

    model: str
    rows: list[Row]  # every variant, then the settings
    merged: list[Row]  # the same, files of the same bytes as one
    groups: list[str]
    benchmark: speeds.Benchmark | None  # of this host
    answers: list[Answer]
    flowchart: str  # Mermaid
    texts: int
    vocabulary: str
    validations: dict[str, results.Validation]
    others: dict[str, list[Row]]  # by host
    charts: dict[str, str]  # SVG, by file name
    card: dict[str, bytes]  # PNG, by file name
    searches: dict[str, str]  # SVG, by variant with a budget
    loading: dict[str, dict[str, str]]  # by variant that passed, and by what it is loaded in


def same_bytes(validations: dict[str, results.Validation]) -> dict[str, str]:
    """For each variant whose graph is byte for byte that of an earlier one, the name of the earlier one."""
    seen: dict[tuple[str, ...], str] = {}
    twins = {}
    for variant, validation in validations.items():
        # The folders differ in the graph's name alone, so the hashes without the names tell.
        digest = tuple(sorted(validation["files"].values()))
        if digest and seen.setdefault(digest, variant) != variant:
            twins[variant] = seen[digest]
    return twins


def fused(built: dict[str, Any]) -> str | None:
    """How many of the expected fusions an optimized graph has, in one line."""
    parts = built.get("fusions", {}).items()
    return ", ".join(f"{one['found']} of {one['expected']} {part}" for part, one in parts) or None


def rows(model: str, validations: dict[str, results.Validation], benchmark: speeds.Benchmark | None) -> list[Row]:
    """One flat row per variant: the verdict, every check's value, and the speed where one machine's was measured;
    then one per setting of the benchmark, which has no verdict."""
    twins = same_bytes(validations)
    table = []
    for variant, validation in validations.items():
        row: Row = {
            "model": model,
            "variant": variant,
            "kind": validation["facts"]["kind"],
            "trust_remote_code": validation["facts"]["trust_remote_code"],
            "precision": validation["precision"],
            "verdict": validation["verdict"],
            "reason": validation["reason"] or results.why_failed(validation),
            "warning": warning(validation),
            "same_bytes_as": twins.get(variant),
            "exporter": validation["built"].get("exporter"),
            "fused": fused(validation["built"]),
            "loss": round(quality_loss(validation), 6) if validation["checks"] else None,
        }
        row |= {check["check"]: check["value"] for check in validation["checks"]}
        ratios = [row[key] for key in row if key.startswith("task_ratio_") and row[key] is not None]
        row["task_ratio"] = min(ratios) if ratios else None
        table.append(row | speed_of(variant, validation["precision"], benchmark))
    for name, record in benchmark["variants"].items() if benchmark else ():
        if record["setting_of"] is not None:
            row = {"model": model, "variant": name, "precision": None, "verdict": "setting"}
            row |= {"reason": f"a way to load {record['setting_of']}, not validated", "warning": None}
            row |= {"same_bytes_as": None, "loss": None, **(record["closeness"] or {})}
            table.append(row | speed_of(name, record["computes_in"] or "", benchmark))
    return table


def speed_of(variant: str, precision: str, benchmark: speeds.Benchmark | None) -> Row:
    """What one machine's benchmark says of a variant, flat."""
    record = benchmark["variants"].get(variant) if benchmark else None
    row: Row = {
        "size_mb": round(record["size_mb"], 1) if record else None,
        "memory_mb": record and rounded(record["memory_mb"], 0),
        "load_seconds": record and rounded(record["load_seconds"], 2),
        "speed_note": (record["error"] or record["note"]) if record else None,
    }
    for group in benchmark["groups"] if benchmark else ():
        measured = benchmark if record and benchmark and record["texts_per_second"].get(group) else None
        rate = speeds.typical(speeds.rounds_of(record, group)) if record else None
        tokens = rate * measured["groups"][group]["tokens_per_text"] if rate and measured else None
        row[f"{group}_texts_per_second"] = rounded(rate, 1)
        row[f"{group}_tokens_per_second"] = rounded(tokens, 0)
        row[f"{group}_batch_size"] = int(speeds.best_batch(record, group) or 0) if record and measured else None
        for kind, size in (("speed", None), ("latency", speeds.SINGLE)):
            value = speeds.to_torch(measured, variant, group, size) if measured else None
            row[f"{group}_{kind}_ratio"] = value and rounded(value["median"], 2)
            row[f"{group}_{kind}_ratio_low"] = value and rounded(value["low"], 2)
            row[f"{group}_{kind}_ratio_high"] = value and rounded(value["high"], 2)
        times = record["latency"].get(group) if record else None
        row[f"{group}_latency_ms"] = times and rounded(times["median_ms"], 2)
        row[f"{group}_latency_p95_ms"] = times and rounded(times["p95_ms"], 2)
        row[f"{group}_latency_p99_ms"] = times and rounded(times["p99_ms"], 2)
        row[f"{group}_tokenization_share"] = measured and rounded(
            speeds.tokenization_share(measured, variant, group), 3
        )
        row[f"{group}_peak_share"] = measured and rounded(speeds.peak_share(measured, variant, group, precision), 3)
    return row


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def merged(table: list[Row]) -> list[Row]:
    """The rows with those of the same bytes as one, that has the others' names in `same_bytes`."""
    verdicts = {row["variant"]: row["verdict"] for row in table}
    found: dict[str, Row] = {}
    for row in table:
        first = row["same_bytes_as"]
        if first in found and verdicts[first] == row["verdict"]:
            found[first]["same_bytes"].append(row["variant"])
        else:
            found[row["variant"]] = {**row, "same_bytes": []}
    return list(found.values())


def note(row: Row) -> str:
    """What stands beside a variant's numbers: its twins, why it failed or was skipped, its warnings."""
    twins = row["same_bytes"] and f"the same bytes: {', '.join(row['same_bytes'])}"
    return "; ".join(part for part in (twins, row["reason"], row["warning"], row["speed_note"]) if part)


def metrics(row: Row, groups: list[str]) -> Row:
    """What `dvc metrics show` compares between versions: the verdict and the numbers that decide."""
    keys = (*METRICS, *(f"{group}_{kind}" for group in groups for kind in ("speed_ratio", "latency_ms")))
    return {key: row[key] for key in keys if row.get(key) is not None}


def plot_rows(table: list[Row], groups: list[str]) -> list[Row]:
    """What `dvc plots` draws: one row per variant, with its speed ratios' geometric mean over the lengths of texts."""
    found = []
    for row in table:
        speed, latency = (
            [row[f"{group}_{kind}_ratio"] for group in groups if row.get(f"{group}_{kind}_ratio")]
            for kind in ("speed", "latency")
        )
        if speed and latency and row["verdict"] != "setting":
            found.append(
                {
                    "variant": f"{row['model']}/{row['variant']}",
                    "speed_ratio": round(geometric_mean(speed), 3),
                    "latency_ratio": round(geometric_mean(latency), 3),
                    "distance": rounded(None if row.get("mean_cosine") is None else 1 - row["mean_cosine"], 7),
                    "size_mb": row["size_mb"],
                }
            )
    return found


def write_csv(path: Path, table: list[Row]) -> None:
    columns = list(dict.fromkeys(key for row in table for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
