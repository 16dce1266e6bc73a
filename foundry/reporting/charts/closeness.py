"""Charts of closeness to torch: what each variant keeps, and what speed it has for it."""

import math
from collections.abc import Sequence
from typing import Any

from foundry.reporting.charts.figures import (
    BAD,
    BEST,
    INK,
    SERIES,
    SOFT,
    label,
    new_figure,
    style,
    write_legend,
    write_names,
)
from foundry.reporting.rows import MergedRow, ratio_to_torch

NEAREST = 1e-7  # what is nearer to torch than rounding stands here on a logarithmic axis


@style()
def quality(table: Sequence[MergedRow]) -> Any:
    """What each variant keeps: its mean centred cosine to torch, and its worst task as a ratio to torch's score."""
    shown = [row for row in table if row["checks"].get("mean_centred_cosine") is not None]
    figure, axes = new_figure(len(shown), of_variants=True)
    for check, text, marker, colour in (
        ("mean_centred_cosine", "mean centred cosine to torch", "o", SERIES[0]),
        ("task_ratio", "lowest task score / torch's", "D", SERIES[1]),
    ):
        values = {index: value for index, row in enumerate(shown) if (value := row["checks"].get(check)) is not None}
        axes.plot(list(values.values()), list(values), marker, color=colour, markersize=5, label=text)
    axes.axvline(1, color=INK, linewidth=1)
    write_names(axes, shown)
    axes.set_xlabel("1 is torch")
    write_legend(axes)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points of which no other is both nearer (first number, lower) and faster (second, higher); nearest first."""
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def distance_and_speed(row: MergedRow, group: str) -> tuple[float, float] | None:
    """Where a variant stands: the quality that it loses, at least NEAREST, and its speed as a ratio to torch's.

    None where either is not known, or the variant has no verdict.
    """
    ratio = ratio_to_torch(row, group)
    if row["verdict"] not in ("passed", "failed") or row["loss"] is None or ratio is None:
        return None
    return max(row["loss"], NEAREST), ratio["median"]


@style()
def closeness(table: Sequence[MergedRow], group: str) -> Any:
    """Speed against the quality that is lost, with the Pareto front of what passed; what failed is crossed out."""
    shown = [row for row in table if distance_and_speed(row, group)]
    points = [point for row in shown if (point := distance_and_speed(row, group))]
    figure, axes = new_figure(14)
    passed = [index for index, row in enumerate(shown) if row["verdict"] == "passed"]
    front = [passed[index] for index in pareto_front([points[index] for index in passed])]
    axes.step([points[index][0] for index in front], [points[index][1] for index in front],
              where="post", color=BEST, linewidth=1.5, alpha=0.6, zorder=1)  # fmt: skip
    axes.set_xscale("log")
    for index, (x, y) in enumerate(points):
        failed, best = shown[index]["verdict"] == "failed", index in front
        colour = BAD if failed else BEST if best else SOFT
        axes.plot([x], [y], "X" if failed else "o", color=colour, markersize=8 if failed or best else 5, zorder=2)
    axes.set_xlim(NEAREST / 2, max((x for x, _ in points), default=1e-2) * 1000)
    places = _label_places(points)
    axes.set_ylim(top=max([axes.get_ylim()[1], *(1.02 * y for _, y in places.values())]))
    for index, place in places.items():
        weight = "bold" if index in front else "normal"
        line = {"arrowstyle": "-", "color": SOFT, "lw": 0.5}
        axes.annotate(label(shown[index]), points[index], place, fontsize=8, va="center", color=INK,
                      weight=weight, arrowprops=line)  # fmt: skip
    axes.set_xlabel("quality lost: the worst of what was measured (left is closer)")
    axes.set_ylabel(f"speed on {group} texts, torch = 1")
    axes.plot([], [], "o", color=BEST, label="nothing is both closer and faster")
    axes.plot([], [], "o", color=SOFT, markersize=5, label="passed")
    if any(row["verdict"] == "failed" for row in shown):
        axes.plot([], [], "X", color=BAD, label="failed")
    write_legend(axes)
    return figure


def _label_places(points: Sequence[tuple[float, float]]) -> dict[int, tuple[float, float]]:
    """Where each point's name stands: right of the points that are about as near to torch, in a column of their own."""
    heights = [y for _, y in points]
    gap = max(max(heights, default=1) - min(heights, default=0), 0.1) / 18
    places: dict[int, tuple[float, float]] = {}
    column: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: points[index][0]):
        if column and math.log10(points[index][0] / points[column[-1]][0]) > 1:
            places |= _column(points, column, gap)
            column = []
        column.append(index)
    return places | _column(points, column, gap)


def _column(points: Sequence[tuple[float, float]], column: Sequence[int], gap: float) -> dict[int, tuple[float, float]]:
    """One name below the other, none nearer than `gap` to the next, around the points' own middle."""
    order = sorted(column, key=lambda index: points[index][1])
    heights: list[float] = []
    for index in order:
        heights.append(max(points[index][1], heights[-1] + gap) if heights else points[index][1])
    shift = sum(height - points[index][1] for index, height in zip(order, heights, strict=True)) / max(len(order), 1)
    # No name stands below all points, where the axis ends.
    shift = min([shift, *(height - min(y for _, y in points) for height in heights[:1])])
    right = max((points[index][0] for index in order), default=1.0) * 1.8
    return {index: (right, height - shift) for index, height in zip(order, heights, strict=True)}
