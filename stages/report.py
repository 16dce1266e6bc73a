"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

import csv
from pathlib import Path
from typing import Any, TypedDict

from stages.shared import charts, command, files, params, results
from stages.shared.rendering import loading_lines, render

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


class Section(TypedDict):
    """What the report shows of one model."""

    model: str
    rows: list[Row]
    groups: list[str]
    texts: int
    vocabulary: str
    validations: dict[str, results.Validation]
    others: dict[str, list[Row]]  # by host
    charts: dict[str, str]  # SVG, by variant with a budget
    loading: dict[str, str]  # by variant that passed


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


def rows(model: str, validations: dict[str, results.Validation], benchmark: results.Benchmark | None) -> list[Row]:
    """One flat row per variant: the verdict, every check's value, and the speed where one machine's was measured."""
    twins = same_bytes(validations)
    table = []
    for variant, validation in validations.items():
        measured = benchmark["variants"].get(variant) if benchmark else None
        row: Row = {
            "model": model,
            "variant": variant,
            "precision": validation["precision"],
            "verdict": validation["verdict"],
            "reason": validation["reason"] or results.why_failed(validation),
            "warning": batch_warning(validation),
            "same_bytes_as": twins.get(variant),
            "size_mb": round(measured["size_mb"], 1) if measured else None,
        }
        row |= {check["check"]: check["value"] for check in validation["checks"]}
        ratios = [row[key] for key in row if key.startswith("task_ratio_") and row[key] is not None]
        row["task_ratio"] = min(ratios) if ratios else None
        for group in benchmark["texts"] if benchmark else ():
            speed = measured["speed"].get(group) if measured else None
            row[f"{group}_texts_per_second"] = round(speed["texts_per_second"], 1) if speed else None
            row[f"{group}_speed_ratio"] = round(speed["ratio"], 2) if speed else None
            row[f"{group}_speed_ratio_low"] = round(speed["ratio_low"], 2) if speed else None
            row[f"{group}_speed_ratio_high"] = round(speed["ratio_high"], 2) if speed else None
        table.append(row)
    return table


def batch_warning(validation: results.Validation) -> str | None:
    """What a user must know of a variant whose embedding of a text depends on the other texts in its batch."""
    value = results.changes_with_batch(validation)
    return None if value is None else f"changes with the batch ({value:.4f})"


def note(row: Row) -> str:
    """What stands beside a variant's numbers: why it failed or was skipped, its warning, its twin."""
    twin = row["same_bytes_as"] and f"same bytes as {row['same_bytes_as']}"
    return "; ".join(part for part in (row["reason"], row["warning"], twin) if part)


def metrics(row: Row) -> Row:
    """What `dvc metrics show` compares between versions: numbers and the verdict of one variant."""
    return {
        key: value
        for key, value in row.items()
        if key not in ("model", "variant", "reason", "warning", "precision") and value is not None
    }


def write_csv(path: Path, table: list[Row]) -> None:
    columns = list(dict.fromkeys(key for row in table for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def print_table(model: str, table: list[Row], groups: list[str]) -> None:
    """The report in the terminal; as wide as it needs in a CI log."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=f"{model}: closeness to torch, and speed as a ratio to torch", title_justify="left")
    for name in ("variant", "verdict"):
        shown.add_column(name, no_wrap=True)
    for name in ("mean cos", "min cos", "hard", "own batch", "recall", "task", "MB", *groups):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("note")
    colours = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
    for row in table:
        numbers = [row.get(key) for key in SUMMARY]
        ratios = [row.get(f"{group}_speed_ratio") for group in groups]
        shown.add_row(
            row["variant"],
            f"[{colours[row['verdict']]}]{row['verdict']}[/]",
            *("" if value is None else f"{value:.4f}" for value in numbers),
            "" if row["size_mb"] is None else f"{row['size_mb']:.0f}",
            *("" if value is None else f"{value:.2f}x" for value in ratios),
            escape(note(row)),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(shown)


def section(model: str, settings: params.Params, validation: Path, benchmarks: Path, host: str) -> Section:
    """All that the report shows of one model; the speeds of other machines stand beside those of this one."""
    validations = {name: files.read_json(validation / model / f"{name}.json") for name in settings.variant_names}
    measured = {path.stem: files.read_json(path) for path in sorted((benchmarks / model).glob("*.json"))}
    here = measured.pop(host, None)
    table = rows(model, validations, here)
    return {
        "model": model,
        "rows": table,
        "groups": list(here["texts"]) if here else [],
        "texts": validations["torch"]["texts"],
        "vocabulary": validations["torch"]["vocabulary"],
        "validations": validations,
        "others": {name: rows(model, validations, other) for name, other in measured.items()},
        "charts": {
            name: charts.search_chart(one["search"]) for name, one in validations.items() if one["search"] is not None
        },
        "loading": {
            row["variant"]: loading_lines(f"artifacts/hub/{model}", row["variant"])
            for row in table
            if row["verdict"] == "passed"
        },
    }


def main(validation: Path, benchmarks: Path, host: Path, report: Path, metrics_folder: Path) -> None:
    settings = params.read()
    machine = files.read_json(host)
    sections = [section(model, settings, validation, benchmarks, machine["host"]) for model in settings.models]
    for part in sections:
        print_table(part["model"], part["rows"], part["groups"])
    everything = [row for part in sections for row in part["rows"]]
    with files.replacing_folder(report) as partial:
        files.write_json(partial / "report.json", {"host": machine, "rows": everything})
        write_csv(partial / "report.csv", everything)
        for name, template in (("report.md", "report.md.j2"), ("index.html", "report.html.j2")):
            page = render(template, sections=sections, host=machine, summary=SUMMARY, note=note)
            (partial / name).write_text(page, encoding="utf-8")
    with files.replacing_folder(metrics_folder) as partial:
        for row in everything:
            files.write_json(partial / row["model"] / f"{row['variant']}.json", metrics(row))


if __name__ == "__main__":
    command.run(main)
