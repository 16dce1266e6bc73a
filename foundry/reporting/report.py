"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.benchmarking import speeds
from foundry.reporting import charts, rows
from foundry.reporting.recommendation import budget_label, flowchart, recommend
from foundry.reporting.rendering import loading_lines, plain_lines, ratio_text, render
from foundry.reporting.rows import SUMMARY, Row, Section
from foundry.reporting.settings import ReportAll


def section(model: str, settings: ReportAll, validation: Path, benchmarks: Path, host: str) -> Section:
    """All that the report shows of one model; the speeds of other machines stand beside those of this one."""
    validations = {name: files.read_json(validation / model / f"{name}.json") for name in settings.variants}
    measured = speeds.read((benchmarks / model).glob("*.json"))
    here: speeds.Benchmark | None = measured.pop(host, None)
    table = rows.rows(model, validations, here)
    groups = list(here["groups"]) if here else []
    answers = recommend(here, validations, settings.quality_budgets) if here else []
    once = rows.merged(table)
    return {
        "model": model,
        "rows": table,
        "merged": once,
        "groups": groups,
        "benchmark": here,
        "answers": answers,
        "flowchart": flowchart(answers),
        "texts": validations["torch"]["texts"],
        "vocabulary": validations["torch"]["vocabulary"],
        "validations": validations,
        "others": {name: rows.merged(rows.rows(model, validations, other)) for name, other in measured.items()},
        "charts": {name: charts.svg(figure) for name, figure in draw(once, groups).items()},
        "card": card(once, groups),
        "searches": {
            name: charts.inline(charts.svg(charts.search(one["search"])))
            for name, one in validations.items()
            if one["search"] is not None
        },
        "loading": {
            row["variant"]: loading(f"artifacts/hub/{model}", row["variant"], validations[row["variant"]]["facts"])
            for row in table
            if row["verdict"] == "passed"
        },
    }


def draw(table: list[Row], groups: list[str]) -> dict[str, Any]:
    """The charts of one model, by name."""
    drawn = {"quality": charts.quality(table)}
    if groups:
        drawn["speed"] = charts.speedup(table, groups)
        drawn["closeness"] = charts.closeness(table, groups[0])
        drawn["latency_ratio"] = charts.speedup(table, groups, "latency")
        drawn["latency"] = charts.latency(table, groups)
        drawn["footprint"] = charts.footprint(table)
    return drawn


def card(table: list[Row], groups: list[str]) -> dict[str, bytes]:
    """The charts of a published model's card: what passed, and nothing else."""
    passed = [row for row in table if row["verdict"] == "passed"]
    drawn = {"quality": charts.quality(passed)} | ({"speed": charts.speedup(passed, groups)} if groups else {})
    return {name: charts.png(figure) for name, figure in drawn.items()}


def loading(where: str, variant: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """The lines that load a variant, by what they load it in."""
    plain = plain_lines(where, variant, facts)
    return {"Sentence Transformers": loading_lines(where, variant, facts)} | (
        {"onnxruntime" if variant.startswith("onnx") else "openvino": plain} if plain else {}
    )


def build(
    settings: ReportAll, validation: Path, benchmarks: Path, machine: dict[str, Any], report: Path, metrics_folder: Path
) -> list[Section]:
    """Write the report to the folder `report` and the metrics to `metrics_folder`; give the part of each model."""
    sections = [section(model, settings, validation, benchmarks, machine["host"]) for model in settings.models]
    everything = [row for part in sections for row in part["rows"]]
    with files.replacing_folder(report) as partial:
        files.write_json(partial / "report.json", {"host": machine, "rows": everything})
        recommended = {part["model"]: part["answers"] for part in sections}
        files.write_json(partial / "recommendation.json", {"host": machine["host"], "models": recommended})
        rows.write_csv(partial / "report.csv", everything)
        rows.write_csv(
            partial / "plots.csv", [row for part in sections for row in rows.plot_rows(part["merged"], part["groups"])]
        )
        for part in sections:
            for name, svg in part["charts"].items():
                path = partial / "charts" / part["model"] / f"{name}.svg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(charts.as_file(svg), encoding="utf-8")
            for name, png in part["card"].items():
                path = partial / "card" / part["model"] / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png)
        for name, template in (("report.md", "report.md.j2"), ("index.html", "report.html.j2")):
            page = render(
                template, sections=sections, host=machine, summary=SUMMARY, note=rows.note, inline=charts.inline,
                budget_label=budget_label, ratio_text=ratio_text, typical=speeds.typical,
            )  # fmt: skip
            (partial / name).write_text(page, encoding="utf-8")
    with files.replacing_folder(metrics_folder) as partial:
        for part in sections:
            for row in part["rows"]:
                if row["verdict"] != "setting":
                    path = partial / row["model"] / f"{row['variant']}.json"
                    files.write_json(path, rows.metrics(row, part["groups"]))
    return sections
