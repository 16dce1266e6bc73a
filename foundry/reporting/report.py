"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.benchmarking import other_load, speeds
from foundry.reporting import charts, rows, tables
from foundry.reporting.recommendation import budget_label
from foundry.reporting.rendering import ratio_text, render
from foundry.reporting.sections import Section, build_section
from foundry.reporting.settings import ReportAll
from foundry.validation.results import Validation

PAGES = {"report.md": "report.md.j2", "index.html": "report.html.j2"}


def build(
    settings: ReportAll, validation: Path, benchmarks: Path, machine: dict[str, Any], report: Path, metrics_folder: Path
) -> list[Section]:
    """Write the report to the folder `report` and the metrics to `metrics_folder`; give the section of each model."""
    # What is there when a stage of another model, or of a variant, failed.
    verdicts: dict[str, dict[str, Validation]] = {
        model: {
            name: files.read_json(path)
            for name in settings.variants
            if (path := validation / model / f"{name}.json").is_file()
        }
        for model in settings.models
    }
    models = [model for model in settings.models if "torch" in verdicts[model]]
    missing = [model for model in settings.models if model not in models]
    missing += [f"{model}/{name}" for model in models for name in settings.variants if name not in verdicts[model]]
    sections = [
        build_section(model, verdicts[model], settings.quality_budgets, benchmarks, machine["host"]) for model in models
    ]
    with files.replacing_folder(report) as partial:
        write_data(partial, sections, machine)
        for section in sections:
            write_charts(partial, section)
        for name, template in PAGES.items():
            page = render(
                template, sections=sections, missing=missing, host=machine, summary=rows.SUMMARY, note=rows.note,
                inline=charts.inline, ratio_to_torch=rows.ratio_to_torch, fastest_ratio=rows.fastest_ratio,
                budget_label=budget_label, ratio_text=ratio_text, typical=speeds.typical,
                other_load=other_load.describe,
            )  # fmt: skip
            (partial / name).write_text(page, encoding="utf-8")
    with files.replacing_folder(metrics_folder) as partial:
        for section in sections:
            for row in section["rows"]:
                if row["setting_of"] is None:
                    files.write_json(partial / row["model"] / f"{row['variant']}.json", tables.metrics(row))
    return sections


def write_data(folder: Path, sections: Sequence[Section], machine: dict[str, Any]) -> None:
    """Write what programs read: report.json, recommendation.json, report.csv and plots.csv."""
    table = [row for section in sections for row in section["rows"]]
    on_gpu = [row for section in sections if section["gpu"] for row in section["gpu"]["rows"]]
    files.write_json(folder / "report.json", {"host": machine, "rows": table, "gpu_rows": on_gpu})
    recommended = {
        section["model"]: section["answers"] + (section["gpu"]["answers"] if section["gpu"] else [])
        for section in sections
    }
    files.write_json(folder / "recommendation.json", {"host": machine["host"], "models": recommended})
    tables.write_csv(folder / "report.csv", [tables.flat(row) for row in table])
    plotted = [row for section in sections for row in tables.plot_rows(section["merged"])]
    tables.write_csv(folder / "plots.csv", plotted)


def write_charts(folder: Path, section: Section) -> None:
    """Write a model's charts: as SVG for report.md, and as PNG for the card of the published model."""
    for name, svg in section["charts"].items():
        path = folder / "charts" / section["model"] / f"{name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(charts.as_file(svg), encoding="utf-8")
    for name, png in section["card"].items():
        path = folder / "card" / section["model"] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
