"""Put validation and benchmarks of all models into one report: terminal, Markdown, HTML, CSV, JSON, DVC metrics."""

import csv
from pathlib import Path
from statistics import geometric_mean
from typing import Any, TypedDict

from stages.shared import charts, command, files, params, results, speeds
from stages.shared.recommendation import Answer, budget_label, flowchart, quality_loss, recommend, warning
from stages.shared.rendering import loading_lines, plain_lines, ratio_text, render

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


def print_table(part: Section) -> None:
    """The report in the terminal; as wide as it needs in a CI log."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    groups = part["groups"]
    title = f"{part['model']}: closeness to torch, and speed in batches as a ratio to torch"
    shown = Table(title=title, title_justify="left")
    for name in ("variant", "verdict"):
        shown.add_column(name, no_wrap=True)
    for name in ("mean cos", "min cos", "hard", "own batch", "recall", "task", "MB", *groups):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("note")
    colours = {"passed": "green", "failed": "bold red", "skipped": "yellow", "setting": "dim"}
    for row in part["merged"]:
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
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(shown)
    if part["answers"]:
        advice = Table(title=f"{part['model']}: what to deploy on this machine", title_justify="left")
        for name in ("use", "texts", "quality", "variant", "", "to torch", "no difference within noise"):
            advice.add_column(name)
        for answer in part["answers"]:
            advice.add_row(*(escape(cell) for cell in answer_cells(answer)))
        console.print(advice)


def answer_cells(answer: Answer) -> list[str]:
    """An answer as the cells of a table: use, texts, budget, variant, its value, its speed to torch, its equals."""
    value = "" if answer["value"] is None else f"{answer['value']:.3g} {answer['unit']}"
    return [
        answer["use"],
        answer["texts"] or "",
        budget_label(answer["budget"]),
        answer["variant"] or "nothing passed",
        value + (f" in batches of {answer['batch_size']}" if answer["use"] == "throughput" and value else ""),
        ratio_text(answer["to_torch"]),
        ", ".join(answer["same_within_noise"]),
    ]


def section(model: str, settings: params.Params, validation: Path, benchmarks: Path, host: str) -> Section:
    """All that the report shows of one model; the speeds of other machines stand beside those of this one."""
    validations = {name: files.read_json(validation / model / f"{name}.json") for name in settings.variant_names}
    measured = speeds.read((benchmarks / model).glob("*.json"))
    here: speeds.Benchmark | None = measured.pop(host, None)
    table = rows(model, validations, here)
    groups = list(here["groups"]) if here else []
    answers = recommend(here, validations, settings.report.quality_budgets) if here else []
    once = merged(table)
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
        "others": {name: merged(rows(model, validations, other)) for name, other in measured.items()},
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


def loading(where: str, variant: str, facts: dict[str, Any]) -> dict[str, str]:
    """The lines that load a variant, by what they load it in."""
    plain = plain_lines(where, variant, facts)
    return {"Sentence Transformers": loading_lines(where, variant, facts)} | (
        {"onnxruntime" if variant.startswith("onnx") else "openvino": plain} if plain else {}
    )


def main(validation: Path, benchmarks: Path, host: Path, report: Path, metrics_folder: Path) -> None:
    settings = params.read()
    machine = files.read_json(host)
    sections = [section(model, settings, validation, benchmarks, machine["host"]) for model in settings.models]
    for part in sections:
        print_table(part)
    everything = [row for part in sections for row in part["rows"]]
    with files.replacing_folder(report) as partial:
        files.write_json(partial / "report.json", {"host": machine, "rows": everything})
        recommended = {part["model"]: part["answers"] for part in sections}
        files.write_json(partial / "recommendation.json", {"host": machine["host"], "models": recommended})
        write_csv(partial / "report.csv", everything)
        write_csv(
            partial / "plots.csv", [row for part in sections for row in plot_rows(part["merged"], part["groups"])]
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
                template, sections=sections, host=machine, summary=SUMMARY, note=note, inline=charts.inline,
                budget_label=budget_label, ratio_text=ratio_text, typical=speeds.typical,
            )  # fmt: skip
            (partial / name).write_text(page, encoding="utf-8")
    with files.replacing_folder(metrics_folder) as partial:
        for part in sections:
            for row in part["rows"]:
                if row["verdict"] != "setting":
                    path = partial / row["model"] / f"{row['variant']}.json"
                    files.write_json(path, metrics(row, part["groups"]))


if __name__ == "__main__":
    command.run(main)
