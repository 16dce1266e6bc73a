"""The report in a terminal or a CI log."""

from foundry.benchmarking import other_load
from foundry.reporting import rows
from foundry.reporting.recommendation import Answer, batches, budget_label
from foundry.reporting.rendering import ratio_text, short
from foundry.reporting.rows import SUMMARY, ratio_to_torch
from foundry.reporting.sections import Section


def print_table(section: Section) -> None:
    """The report in the terminal; as wide as it needs in a CI log."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    groups = section["groups"]
    title = f"{section['model']}: closeness to torch, and speed in batches as a ratio to torch"
    shown = Table(title=title, title_justify="left")
    for name in ("variant", "verdict"):
        shown.add_column(name, no_wrap=True)
    for name in ("lost", "mean cos", "min cos", "centred", "hard", "batch", "recall", "task", "MB", *groups):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("note")
    colours = {"passed": "green", "failed": "bold red", "skipped": "yellow", "setting": "dim"}
    for row in section["merged"]:
        numbers = [row["checks"].get(check) for check in SUMMARY]
        ratios = [ratio_to_torch(row, group) for group in groups]
        shown.add_row(
            row["variant"],
            f"[{colours[row['verdict']]}]{row['verdict']}[/]",
            "" if row["loss"] is None else f"{100 * row['loss']:.2g}%",
            *("" if value is None else f"{value:.4f}" for value in numbers),
            "" if row["size_mb"] is None else f"{row['size_mb']:.0f}",
            *(f"{ratio['median']:.2f}x" if ratio else "" for ratio in ratios),
            escape(rows.note(row)),
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(shown)
    if section["benchmark"]:
        load = section["benchmark"]["other_load"]
        console.print(other_load.describe(load), style="bold red" if load and load["busy"] else "dim")
    if section["answers"]:
        advice = Table(title=f"{section['model']}: what to deploy on this machine", title_justify="left")
        for name in ("use", "texts", "quality", "variant", "", "to torch", "no difference within noise"):
            advice.add_column(name)
        for answer in section["answers"]:
            advice.add_row(*(escape(cell) for cell in _answer_cells(answer)))
        console.print(advice)


def _answer_cells(answer: Answer) -> list[str]:
    """An answer as the cells of a table: use, texts, budget, variant, its value, its speed to torch, its equals."""
    value = "" if answer["value"] is None else f"{short(answer['value'])} {answer['unit']}"
    return [
        answer["use"],
        answer["texts"] or "",
        budget_label(answer["budget"]),
        answer["variant"] or answer["withheld"] or "nothing passed",
        value + (batches(answer) if value else ""),
        ratio_text(answer["to_torch"]),
        ", ".join(answer["same_within_noise"]),
    ]
