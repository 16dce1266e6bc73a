"""Chart of what a variant needs: disk and memory."""

from collections.abc import Sequence
from typing import Any

from foundry.reporting.charts.figures import INK, SERIES, new_figure, style, write_legend, write_names
from foundry.reporting.rows import MergedRow


@style()
def footprint(table: Sequence[MergedRow]) -> Any:
    """Size on disk, and the most memory of a process that runs the variant."""
    shown = [row for row in table if row["size_mb"] and row["memory_mb"]]
    figure, axes = new_figure(len(shown), of_variants=True)
    bars = {
        "on disk": [row["size_mb"] for row in shown],
        "in memory, with the libraries": [row["memory_mb"] for row in shown],
    }
    for place, (label, values) in enumerate(bars.items()):
        heights = [index + (place - 0.5) * 0.38 for index in range(len(shown))]
        axes.barh(heights, values, height=0.36, color=SERIES[place], label=label)
        for height, value in zip(heights, values, strict=True):
            axes.text(value, height, f" {value:.0f}", va="center", fontsize=7.5, color=INK)
    write_names(axes, shown)
    axes.set_xlabel("MB")
    write_legend(axes)
    return figure
