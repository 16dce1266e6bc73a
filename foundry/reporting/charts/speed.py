"""Charts of speed: as a ratio to torch, and in milliseconds."""

from collections.abc import Sequence
from typing import Any

from foundry.reporting.charts.figures import INK, SERIES, new_figure, style, write_legend, write_names
from foundry.reporting.rows import MergedRow, Use, ratio_to_torch


def offset(place: int, groups: Sequence[str]) -> float:
    """How far from the middle of a variant's line the mark of a group of texts stands, in lines."""
    return (place - (len(groups) - 1) / 2) * 0.8 / max(len(groups), 1)


@style()
def speedup(table: Sequence[MergedRow], groups: Sequence[str], use: Use = "speed") -> Any:
    """The speed of each variant as a ratio to torch, with its interval; `use` is `speed` or `latency`."""
    shown = [row for row in table if any(ratio_to_torch(row, group, use) for group in groups)]
    figure, axes = new_figure(len(shown), of_variants=True)
    for place, group in enumerate(groups):
        ratios = {index: ratio for index, row in enumerate(shown) if (ratio := ratio_to_torch(row, group, use))}
        spread = [
            [ratio["median"] - (ratio["low"] or ratio["median"]) for ratio in ratios.values()],
            [(ratio["high"] or ratio["median"]) - ratio["median"] for ratio in ratios.values()],
        ]
        axes.errorbar(
            [ratio["median"] for ratio in ratios.values()], [index + offset(place, groups) for index in ratios],
            xerr=spread, fmt="o", markersize=4.5, color=SERIES[place % len(SERIES)], elinewidth=2, alpha=0.9,
            label=f"{group} texts",
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1)
    write_names(axes, shown)
    axes.set_xlim(left=0)
    what = "texts a second, in batches" if use == "speed" else "speed on one text at a time"
    axes.set_xlabel(f"{what}: ratio to torch fp32, 95% interval")
    write_legend(axes)
    return figure


@style()
def latency(table: Sequence[MergedRow], groups: Sequence[str]) -> Any:
    """The time of a single text: median, 95th and 99th percentile."""
    shown = [row for row in table if any(row["speeds"][group]["latency_ms"] for group in groups)]
    figure, axes = new_figure(len(shown), of_variants=True)
    for place, group in enumerate(groups):
        colour = SERIES[place % len(SERIES)]
        measured = [(index, times) for index, row in enumerate(shown) if (times := row["speeds"][group])["latency_ms"]]
        for number, (index, times) in enumerate(measured):
            y = index + offset(place, groups)
            middle, p95, p99 = times["latency_ms"], times["latency_p95_ms"], times["latency_p99_ms"]
            axes.plot([middle, p99], [y, y], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot([p95], [y], "|", color=colour, markersize=7)
            text = f"{group} texts" if number == 0 else None  # once in the legend
            axes.plot([middle], [y], "o", color=colour, markersize=4.5, label=text)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    write_names(axes, shown)
    axes.set_xlabel("one text, milliseconds: median, 95th (tick) and 99th percentile (end)")
    write_legend(axes)
    return figure
