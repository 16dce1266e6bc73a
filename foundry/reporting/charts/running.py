"""Charts of ways to run: how fast each is for many texts at once, and how speed grows with the streams."""

from collections.abc import Sequence
from typing import Any

from foundry.reporting import running
from foundry.reporting.charts.figures import BEST, INK, SERIES, SOFT, new_figure, style, write_legend
from foundry.reporting.rows import MergedRow, ratio_to_torch

SHOWN = 9  # ways beside torch: more are no picture that a person grasps


def fastest_ways(table: Sequence[MergedRow], group: str) -> list[MergedRow]:
    """The rows that passed, the fastest for many texts of a group first; torch, which all are compared with, last."""
    passed = [row for row in table if row["verdict"] == "passed" and ratio_to_torch(row, group)]
    torch = [row for row in passed if row["variant"] == "torch"]
    others = [row for row in passed if row["variant"] != "torch"]
    return sorted(others, key=lambda row: -_ratio(row, group))[:SHOWN] + torch


def _ratio(row: MergedRow, group: str) -> float:
    value = ratio_to_torch(row, group)
    return value["median"] if value else 0.0


@style()
def ways_to_run(table: Sequence[MergedRow], group: str) -> Any:
    """A bar for each way to run: its file, what runs it and how; its speed, and its share of the machine's peak."""
    shown = fastest_ways(table, group)
    figure, axes = new_figure(2 * len(shown), of_variants=True)
    drawn: set[str] = set()
    for place, row in enumerate(shown):
        is_runtime = row["runner"] == "foundry_runtime"
        runner = "foundry_runtime" if is_runtime else "Sentence Transformers"
        ratio = _ratio(row, group)
        axes.barh(
            [place], [ratio], height=0.62, color=BEST if is_runtime else SOFT, label=None if runner in drawn else runner
        )
        drawn.add(runner)
        share = row["speeds"][group]["peak_share"]
        peak = f", {100 * share:.0f}% of the peak" if share else ""
        rate = row["speeds"][group]["texts_per_second"]
        axes.text(ratio, place, f" {ratio:.1f}×  {rate:,.0f} texts/s{peak}", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(shown)), [running.label(row, group) for row in shown], fontsize=8.5)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 2.1 * max((_ratio(row, group) for row in shown), default=1.0))
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xlabel(f"{group} texts, many at once: how many times as fast as torch")
    write_legend(axes)
    return figure


@style()
def scaling(table: Sequence[MergedRow], group: str) -> Any:
    """How texts a second grow with streams of one thread each, as the search measured them in its first pass."""
    figure, axes = new_figure(9)
    most = 1
    for place, (name, points) in enumerate(running.scaling(table, group).items()):
        streams = list(points)
        most = max(most, *streams)
        speedups = [points[count] / points[streams[0]] for count in streams]
        axes.plot(streams, speedups, "o-", color=SERIES[place % len(SERIES)], markersize=5, label=name)
    axes.plot([1, most], [1, most], "--", color=SOFT, linewidth=1, label="as many times as cores")
    axes.set_xticks([2**power for power in range(most.bit_length()) if 2**power <= most])
    axes.set_xlabel(f"streams of one thread each, {group} texts")
    axes.set_ylabel("speed, one stream = 1")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return figure
