"""What the report shows of one model: its rows, recommendations, charts, and the lines that load each variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from foundry.benchmarking import speeds
from foundry.benchmarking.speeds import Benchmark
from foundry.reporting import charts, running
from foundry.reporting.flowchart import flowchart
from foundry.reporting.recommendation import Answer, recommend
from foundry.reporting.rendering import loading_lines, passed_in, plain_lines
from foundry.reporting.rows import MergedRow, Row, build_rows, merge_same_bytes
from foundry.validation.results import Family, Validation, head_output


class OnGpu(TypedDict):
    """What was measured of one model on this machine's GPU."""

    benchmark: Benchmark
    rows: list[Row]
    merged: list[MergedRow]
    groups: list[str]
    answers: list[Answer]


class Section(TypedDict):
    """The report's part on one model."""

    model: str
    rows: list[Row]  # every variant, then the settings
    merged: list[MergedRow]  # the same, with one row for files of the same bytes
    groups: list[str]
    benchmark: Benchmark | None  # of this host
    answers: list[Answer]
    gpu: OnGpu | None
    flowchart: str  # Mermaid
    texts: int
    vocabulary: str
    uncovered_scripts: list[str]
    validations: dict[str, Validation]
    others: dict[str, list[MergedRow]]  # by host
    requests: list[running.RequestRow]
    settings: list[running.SettingRow]
    charts: dict[str, str]  # SVG, by file name
    card: dict[str, bytes]  # PNG, by file name
    searches: dict[str, str]  # SVG, by variant with a budget
    loading: dict[str, dict[str, str]]  # by variant that passed, and by what it is loaded in


def build_section(
    model: str, validations: dict[str, Validation], quality_budgets: Sequence[float], benchmarks: Path, host: str
) -> Section:
    """All that the report shows of one model; the speeds of other machines stand beside those of this one."""
    measured = speeds.read((benchmarks / model).glob("*.json"))
    here = measured.pop(host, None)
    gpu = on_gpu(model, validations, measured.pop(speeds.measured_on(host, "cuda"), None), quality_budgets)
    table = build_rows(model, validations, here)
    groups = list(here["groups"]) if here else []
    answers = recommend(here, validations, quality_budgets) if here else []
    merged = merge_same_bytes(table)
    return {
        "model": model,
        "rows": table,
        "merged": merged,
        "groups": groups,
        "benchmark": here,
        "answers": answers,
        "gpu": gpu,
        "flowchart": flowchart([*answers, *(gpu["answers"] if gpu else [])]),
        "texts": validations["torch"]["texts"],
        "vocabulary": validations["torch"]["vocabulary"],
        "uncovered_scripts": validations["torch"]["uncovered_scripts"],
        "validations": validations,
        "others": {
            name: merge_same_bytes(build_rows(model, validations, benchmark)) for name, benchmark in measured.items()
        },
        "requests": running.request_rows(here, merged) if here else [],
        "settings": running.setting_rows(merged),
        "charts": page_charts(merged, groups),
        "card": card_charts(merged, groups),
        "searches": {
            name: charts.inline(charts.svg(charts.search(row["search"])))
            for name, row in validations.items()
            if row["search"] is not None
        },
        "loading": {
            row["variant"]: loading(
                f"artifacts/hub/{model}",
                row["variant"],
                validations[row["variant"]]["facts"],
                head_output(validations[row["variant"]]),
                passed_in(row),
                row["fails_on"],
            )
            for row in table
            if row["verdict"] == "passed" and row["setting_of"] is None
        },
    }


def on_gpu(
    model: str,
    validations: Mapping[str, Validation],
    benchmark: Benchmark | None,
    quality_budgets: Sequence[float],
) -> OnGpu | None:
    """What the benchmark of this machine's GPU says of a model; None without one."""
    if benchmark is None:
        return None
    table = build_rows(model, validations, benchmark)
    return {
        "benchmark": benchmark,
        "rows": table,
        "merged": merge_same_bytes(table),
        "groups": list(benchmark["groups"]),
        "answers": recommend(benchmark, validations, quality_budgets),
    }


def page_charts(table: Sequence[MergedRow], groups: Sequence[str]) -> dict[str, str]:
    """The charts of a model's section as SVG, by name."""
    figures = {"quality": charts.quality(table)}
    if groups:
        usual = speeds.usual_group(groups)
        if charts.fastest_ways(table, usual):
            figures["ways"] = charts.ways_to_run(table, usual)
        if running.scaling(table, usual):
            figures["scaling"] = charts.scaling(table, usual)
        figures["speed"] = charts.speedup(table, groups)
        figures["closeness"] = charts.closeness(table, groups[0])
        figures["latency_ratio"] = charts.speedup(table, groups, "latency")
        figures["latency"] = charts.latency(table, groups)
        figures["footprint"] = charts.footprint(table)
    return {name: charts.svg(figure) for name, figure in figures.items()}


def card_charts(table: Sequence[MergedRow], groups: Sequence[str]) -> dict[str, bytes]:
    """The charts of a published model's card as PNG, by name: of what passed, and nothing else."""
    passed = [row for row in table if row["verdict"] == "passed"]
    figures = {"quality": charts.quality(passed)} | ({"speed": charts.speedup(passed, groups)} if groups else {})
    return {name: charts.png(figure) for name, figure in figures.items()}


def loading(
    where: str,
    variant: str,
    facts: Mapping[str, Any],
    output: str | None,
    passed_in: Sequence[str] = (),
    fails_on: Mapping[Family, str] | None = None,
) -> dict[str, str]:
    """The lines that load a variant, by what they load it in; in f32, and in the precisions that it also passed in."""
    lines: dict[str, str] = {}
    for precision in ("f32", *passed_in):
        told = "" if precision == "f32" else f", computed in {precision} where the processor has it"
        lines[f"Sentence Transformers{told}"] = loading_lines(
            where, variant, facts, precision=precision, fails_on=fails_on
        )
        if plain := plain_lines(where, variant, facts, output, precision, fails_on):
            lines[f"{'onnxruntime' if variant.startswith('onnx') else 'openvino'}{told}"] = plain
    return lines
