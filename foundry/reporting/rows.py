"""The rows of the report: a variant of a model, with its verdict, closeness, size and speeds.

To add a column, add its field to `Row`, or to `Speeds` in row_speeds.py where it has a value for each group of texts,
and its value to `variant_row` or `measured_speeds`. report.csv and report.json then have it; what `dvc metrics` and
`dvc plots` show is listed in tables.py, and what a page shows in its template.

Rows are `TypedDict`s, as verdicts and benchmarks are: what is written to report.json is what is read from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from foundry.benchmarking.settings import Runner
from foundry.benchmarking.speeds import Benchmark, RequestTimes, Search, VariantBenchmark
from foundry.benchmarking.timings import Ratio
from foundry.reporting import ways
from foundry.reporting.recommendation import warning
from foundry.reporting.row_speeds import Speeds, rounded, speeds_by_group
from foundry.validation import results
from foundry.validation.quality import quality_loss
from foundry.validation.results import Validation
from foundry.variants import same_bytes
from foundry.variants.precisions import Device, InferencePrecision

Use = Literal["speed", "latency"]  # many texts in batches, or one text at a time

# The checks that stand in the table at a glance; all of them stand below it, with their thresholds.
SUMMARY = {
    "mean_cosine": "mean cosine",
    "min_cosine": "min",
    "mean_centred_cosine": "centred",
    "hard_min_cosine": "hard texts",
    "consistency_mean_cosine": "batch consistency",
    "recall_at_10": "recall@10",
    "task_ratio": "task ratio",
}


class Row(TypedDict):
    """A variant of a model, or a setting: another way to run a variant's file.

    A setting of which nothing but the precision differs has the verdict of the variant in this precision, where a
    machine that computes in it gave one. Any other is measured, but not validated.
    """

    # What it is.
    model: str
    variant: str
    kind: str | None  # Sentence Transformers' class
    trust_remote_code: bool | None
    precision: str | None
    # Its verdict.
    verdict: Literal["passed", "failed", "skipped", "setting"]
    setting_of: str | None  # of a setting: the variant whose file it runs
    inference_precision: InferencePrecision  # what it is told to compute in
    runner: Runner  # what ran it when its speed was measured
    device: Device  # where
    precisions: dict[str, str]  # a variant's verdicts in bf16 and f16
    reason: str | None
    fails_on: dict[results.Family, str]  # of a variant that passed: families of processors on which it fails, and why
    warning: str | None
    uncovered_scripts: list[str]  # that the model's vocabulary has, and hardly any validation text
    # How it was made.
    same_bytes_as: str | None  # the earlier variant whose files have the same bytes
    exporter: str | None
    fused: str | None  # how many of the expected fusions its graph has
    # How close it is to torch.
    loss: float | None  # of quality, as a share
    lost_in: str | None  # the measure in which it is lost
    checks: dict[str, float | None]  # each check's value by name; `task_ratio` is the lowest of all tasks
    # What it needs.
    size_mb: float | None
    memory_mb: float | None
    load_seconds: float | None
    speed_note: str | None  # why it was measured less than others, or not at all
    other_load_share: float | None  # of the cores' time that other jobs took during the benchmark; None: not known
    on_busy_machine: bool | None  # whether that is so much that its speeds are not to be relied on
    search: Search | None  # of what foundry_runtime ran: the settings that were tried and chosen
    requests: RequestTimes | None  # of torch, and the rows that may serve requests best
    # How fast it is, by group of texts.
    speeds: dict[str, Speeds]


class MergedRow(Row):
    """A row that stands for all variants with the same bytes."""

    same_bytes: list[str]  # the names of the others


def build_rows(model: str, validations: Mapping[str, Validation], benchmark: Benchmark | None) -> list[Row]:
    """One row for each variant, then one for each setting of the benchmark, if there is one.

    Of a benchmark on a GPU there are rows of what was measured there alone, with its verdict there.
    """
    if benchmark and benchmark["device"] == "cuda":
        table = gpu_rows(model, validations, benchmark)
        return table + setting_rows(model, validations, benchmark)
    twins = same_bytes_as(validations)
    table = [
        variant_row(model, variant, validation, twins.get(variant), benchmark)
        for variant, validation in validations.items()
    ]
    return table + (setting_rows(model, validations, benchmark) if benchmark else [])


def gpu_rows(model: str, validations: Mapping[str, Validation], benchmark: Benchmark) -> list[Row]:
    """One row for each variant that was measured on a GPU and has a verdict there."""
    judged = ways.on_device(validations, "cuda")
    return [
        variant_row(model, variant, validation, benchmark["variants"][variant]["same_bytes_as"], benchmark)
        for variant, validation in judged.items()
        if variant in benchmark["variants"]
    ]


def setting_rows(model: str, validations: Mapping[str, Validation], benchmark: Benchmark) -> list[Row]:
    """One row for each setting of a benchmark."""
    settings = {name: record for name, record in benchmark["variants"].items() if record["setting_of"] is not None}
    judged = ways.of_settings(benchmark, validations)
    return [
        variant_row(model, name, judged[name], None, benchmark)
        if name in judged
        else setting_row(model, name, record, benchmark)
        for name, record in settings.items()
    ]


def variant_row(model: str, variant: str, validation: Validation, twin: str | None, benchmark: Benchmark | None) -> Row:
    """The row of a validated variant, or of a setting with a verdict, by its name in the benchmark; `twin` is the
    earlier variant whose files have the same bytes.
    """
    record = benchmark["variants"].get(variant) if benchmark else None
    load = benchmark["other_load"] if benchmark else None
    checks = {check["check"]: check["value"] for check in validation["checks"]}
    loss = quality_loss(validation["checks"]) if validation["checks"] else None
    ratios = [value for name, value in checks.items() if name.startswith("task_ratio_") and value is not None]
    passed = validation["verdict"] == "passed"
    return {
        "model": model,
        "variant": variant,
        "kind": validation["facts"]["kind"],
        "trust_remote_code": validation["facts"]["trust_remote_code"],
        "precision": validation["precision"],
        "verdict": validation["verdict"],
        "setting_of": record["setting_of"] if record else None,
        "inference_precision": ways.of_row(variant, record).precision,
        "runner": ways.of_row(variant, record).runner,
        "device": ways.of_row(variant, record).device,
        "precisions": {name: judged["verdict"] for name, judged in validation["precisions"].items()},
        "reason": None if passed else validation["reason"] or results.why_failed(validation["checks"]),
        "fails_on": results.families_that_fail(validation) if passed else {},
        "warning": warning(validation),
        "uncovered_scripts": validation["uncovered_scripts"],
        "same_bytes_as": twin,
        "exporter": validation["built"].get("exporter"),
        "fused": fused(validation["built"]),
        "loss": round(loss.share, 6) if loss else None,
        "lost_in": loss.measure if loss else None,
        "checks": {**checks, "task_ratio": min(ratios, default=None)},
        "size_mb": round(record["size_mb"], 1) if record else None,
        "memory_mb": rounded(record["memory_mb"], 0) if record else None,
        "load_seconds": rounded(record["load_seconds"], 2) if record else None,
        "speed_note": (record["error"] or record["note"]) if record else None,
        "other_load_share": rounded(load["share"], 3) if load else None,
        "on_busy_machine": load["busy"] if load else None,
        "search": record["search"] if record else None,
        "requests": record["requests"] if record else None,
        "speeds": speeds_by_group(variant, validation["precision"], benchmark),
    }


def setting_row(model: str, name: str, record: VariantBenchmark, benchmark: Benchmark | None) -> Row:
    """The row of a setting: its speeds, and its closeness to torch on a few texts."""
    closeness = record["closeness"]
    load = benchmark["other_load"] if benchmark else None
    return {
        "model": model,
        "variant": name,
        "kind": None,
        "trust_remote_code": None,
        "precision": None,
        "verdict": "setting",
        "setting_of": record["setting_of"],
        "inference_precision": record["computes_in"] or "f32",
        "runner": record["runner"],
        "device": record["device"],
        "precisions": {},
        "reason": f"a way to load {record['setting_of']}, not validated",
        "fails_on": {},
        "warning": None,
        "uncovered_scripts": [],
        "same_bytes_as": None,
        "exporter": None,
        "fused": None,
        "loss": None,
        "lost_in": None,
        "checks": {key: closeness[key] for key in ("mean_cosine", "min_cosine")} if closeness else {},
        "size_mb": round(record["size_mb"], 1),
        "memory_mb": rounded(record["memory_mb"], 0),
        "load_seconds": rounded(record["load_seconds"], 2),
        "speed_note": record["error"] or record["note"],
        "other_load_share": rounded(load["share"], 3) if load else None,
        "on_busy_machine": load["busy"] if load else None,
        "search": record["search"],
        "requests": record["requests"],
        "speeds": speeds_by_group(name, record["computes_in"] or "", benchmark),
    }


def same_bytes_as(validations: Mapping[str, Validation]) -> dict[str, str]:
    """For each variant whose files are byte for byte those of an earlier one, the name of the earlier one."""
    # The folders differ in the graph's name alone, so the hashes without the names tell.
    return same_bytes.twins({name: tuple(sorted(row["files"].values())) for name, row in validations.items()})


def fused(built: Mapping[str, Any]) -> str | None:
    """How many of the expected fusions an optimized graph has, in one line."""
    counts = built.get("fusions", {}).items()
    return ", ".join(f"{count['found']} of {count['expected']} {part}" for part, count in counts) or None


def ratio_to_torch(row: Row, group: str, use: Use = "speed") -> Ratio | None:
    """A row's speed on a group of texts as a ratio to torch, in batches or (`latency`) one text at a time."""
    if group not in row["speeds"]:
        return None
    measured = row["speeds"][group]
    return measured["speed_ratio"] if use == "speed" else measured["latency_ratio"]


def fastest_ratio(table: Sequence[Row], group: str) -> float | None:
    """The highest speed in batches, as a ratio to torch, that any row has on a group of texts."""
    return max((ratio["median"] for row in table if (ratio := ratio_to_torch(row, group))), default=None)


def merge_same_bytes(table: Sequence[Row]) -> list[MergedRow]:
    """One row for all variants that have the same bytes and the same verdict: the first of them."""
    merged: dict[str, MergedRow] = {}
    for row in table:
        first = merged.get(row["same_bytes_as"] or "")
        if first is not None and first["verdict"] == row["verdict"]:
            first["same_bytes"].append(row["variant"])
        else:
            merged[row["variant"]] = {**row, "same_bytes": []}
    return list(merged.values())


def note(row: MergedRow) -> str:
    """What stands beside a variant's numbers: its other names, why it failed or was skipped, its warnings."""
    others = f"the same bytes: {', '.join(row['same_bytes'])}" if row["same_bytes"] else None
    families = [f"**fails on processors {results.FAMILIES[name]}**: {why}" for name, why in row["fails_on"].items()]
    if row["setting_of"] and row["verdict"] != "setting":
        others = ways.WayToRun(row["setting_of"], row["inference_precision"], row["runner"], row["device"]).label
    also = [f"{verdict} in {name}" for name, verdict in row["precisions"].items() if verdict != "not computed"]
    parts = (others, *also, row["reason"], *families, row["warning"], row["speed_note"])
    return "; ".join(part for part in parts if part)
