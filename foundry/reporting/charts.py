"""Charts of the report: figures, and what becomes of them. As SVG they stand inside a page or in a file of their own:
nothing is loaded from anywhere."""

import io
import math
from collections.abc import Sequence
from typing import Any

from foundry.variants.search_record import Search

INK, SOFT = "#1c2733", "#8c959f"
GOOD, OTHER, CHOSEN, BAD = "#1a7f37", SOFT, "#0969da", "#cf222e"
SERIES = ("#0969da", "#bc4c00", "#8250df", "#1a7f37", "#bf3989", "#6e7781")  # told apart with any colour vision
NEAREST = 1e-7  # what is nearer to torch than rounding stands here on a logarithmic axis

Row = dict[str, Any]


def inline(svg: str) -> str:
    """A chart for a page: no declaration, and text in the page's own colour, light or dark."""
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def png(figure: Any) -> bytes:
    """A chart for a model card, which shows no SVG everywhere: on white, for displays of two dots a pixel."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, facecolor="#ffffff", metadata={"Software": None})
    return image.getvalue()


def as_file(svg: str) -> str:
    """A chart for a file: on white, because what shows it may be dark."""
    head, _, rest = svg.partition("<defs>")
    return f'{head}<rect width="100%" height="100%" fill="#ffffff"/>\n <defs>{rest}'


def speedup(rows: Sequence[Row], groups: Sequence[str], use: str = "speed") -> Any:
    """The speed of each variant as a ratio to torch, with its interval; `use` is `speed` or `latency`."""
    shown = [row for row in rows if any(row.get(f"{group}_{use}_ratio") for group in groups)]
    figure, axes = _figure(len(shown), rows=True)
    step = 0.8 / max(len(groups), 1)
    for place, group in enumerate(groups):
        key = f"{group}_{use}_ratio"
        some = [(index, row) for index, row in enumerate(shown) if row.get(key)]
        heights = [index + (place - (len(groups) - 1) / 2) * step for index, _ in some]
        middles = [row[key] for _, row in some]
        spread = [
            [row[key] - (row[f"{key}_low"] or row[key]) for _, row in some],
            [(row[f"{key}_high"] or row[key]) - row[key] for _, row in some],
        ]
        colour = SERIES[place % len(SERIES)]
        axes.errorbar(
            middles, heights, xerr=spread, fmt="o", markersize=4.5, color=colour, elinewidth=2, alpha=0.9,
            label=f"{group} texts",
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1)
    _names(axes, shown)
    axes.set_xlim(left=0)
    what = "texts a second, in batches" if use == "speed" else "speed on one text at a time"
    axes.set_xlabel(f"{what}: ratio to torch fp32, 95% interval")
    _legend(axes)
    return figure


def quality(rows: Sequence[Row]) -> Any:
    """What each variant keeps: its mean cosine to torch, and its worst task as a ratio to torch's score."""
    shown = [row for row in rows if row.get("mean_cosine") is not None]
    figure, axes = _figure(len(shown), rows=True)
    for key, label, marker, colour in (
        ("mean_cosine", "mean cosine to torch", "o", SERIES[0]),
        ("task_ratio", "lowest task score / torch's", "D", SERIES[1]),
    ):
        some = [(row[key], index) for index, row in enumerate(shown) if row.get(key) is not None]
        axes.plot([x for x, _ in some], [y for _, y in some], marker, color=colour, markersize=5, label=label)
    axes.axvline(1, color=INK, linewidth=1)
    _names(axes, shown)
    axes.set_xlabel("1 is torch")
    _legend(axes)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points of which no other is both nearer (first number, lower) and faster (second, higher); nearest first."""
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def closeness(rows: Sequence[Row], group: str) -> Any:
    """Speed against distance from torch, with the Pareto front of what passed; what failed is crossed out."""
    shown = [row for row in rows if row["verdict"] in ("passed", "failed") and row.get(f"{group}_speed_ratio")]
    shown = [row for row in shown if row.get("mean_cosine") is not None]
    figure, axes = _figure(14)
    points = [(max(1 - row["mean_cosine"], NEAREST), row[f"{group}_speed_ratio"]) for row in shown]
    passed = [index for index, row in enumerate(shown) if row["verdict"] == "passed"]
    front = [passed[index] for index in pareto_front([points[index] for index in passed])]
    axes.step([points[index][0] for index in front], [points[index][1] for index in front],
              where="post", color=CHOSEN, linewidth=1.5, alpha=0.6, zorder=1)  # fmt: skip
    axes.set_xscale("log")
    for index, (x, y) in enumerate(points):
        failed, best = shown[index]["verdict"] == "failed", index in front
        colour = BAD if failed else CHOSEN if best else SOFT
        axes.plot([x], [y], "X" if failed else "o", color=colour, markersize=8 if failed or best else 5, zorder=2)
    low, high = min((y for _, y in points), default=0), max((y for _, y in points), default=1)
    gap = max(high - low, 0.1) / 18
    axes.set_xlim(NEAREST / 2, max((x for x, _ in points), default=1e-2) * 1000)
    for index, place in _places(points, gap).items():
        weight = "bold" if index in front else "normal"
        line = {"arrowstyle": "-", "color": SOFT, "lw": 0.5}
        axes.annotate(_name(shown[index]), points[index], place, fontsize=8, va="center", color=INK,
                      weight=weight, arrowprops=line)  # fmt: skip
    axes.set_xlabel("distance from torch: 1 - mean cosine (left is closer)")
    axes.set_ylabel(f"speed on {group} texts, torch = 1")
    axes.plot([], [], "o", color=CHOSEN, label="nothing is both closer and faster")
    axes.plot([], [], "o", color=SOFT, markersize=5, label="passed")
    if any(row["verdict"] == "failed" for row in shown):
        axes.plot([], [], "X", color=BAD, label="failed")
    _legend(axes)
    return figure


def _places(points: Sequence[tuple[float, float]], gap: float) -> dict[int, tuple[float, float]]:
    """Where each point's name stands: right of the points that are about as near to torch, in a column of their own."""
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
    right = max((points[index][0] for index in order), default=1.0) * 1.8
    return {index: (right, height - shift) for index, height in zip(order, heights, strict=True)}


def latency(rows: Sequence[Row], groups: Sequence[str]) -> Any:
    """The time of a single text: median, 95th and 99th percentile."""
    shown = [row for row in rows if any(row.get(f"{group}_latency_ms") for group in groups)]
    figure, axes = _figure(len(shown), rows=True)
    step = 0.8 / max(len(groups), 1)
    for place, group in enumerate(groups):
        colour = SERIES[place % len(SERIES)]
        first = True
        for index, row in enumerate(shown):
            if not row.get(f"{group}_latency_ms"):
                continue
            y = index + (place - (len(groups) - 1) / 2) * step
            middle, p95, p99 = (row[f"{group}_latency_{key}"] for key in ("ms", "p95_ms", "p99_ms"))
            axes.plot([middle, p99], [y, y], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot([p95], [y], "|", color=colour, markersize=7)
            axes.plot([middle], [y], "o", color=colour, markersize=4.5, label=f"{group} texts" if first else None)
            first = False
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _names(axes, shown)
    axes.set_xlabel("one text, milliseconds: median, 95th (tick) and 99th percentile (end)")
    _legend(axes)
    return figure


def footprint(rows: Sequence[Row]) -> Any:
    """Size on disk, and the most memory of a process that runs the variant."""
    shown = [row for row in rows if row.get("size_mb") and row.get("memory_mb")]
    figure, axes = _figure(len(shown), rows=True)
    for place, (key, label) in enumerate((("size_mb", "on disk"), ("memory_mb", "in memory, with the libraries"))):
        heights = [index + (place - 0.5) * 0.38 for index in range(len(shown))]
        values = [row[key] for row in shown]
        axes.barh(heights, values, height=0.36, color=SERIES[place], label=label)
        for height, value in zip(heights, values, strict=True):
            axes.text(value, height, f" {value:.0f}", va="center", fontsize=7.5, color=INK)
    _names(axes, shown)
    axes.set_xlabel("MB")
    _legend(axes)
    return figure


def search(search: Search) -> Any:
    """What a search for a budget tried: each graph's closeness against its estimated speed, and the one it took."""
    figure, axes = _figure(9)
    trials = [trial for trial in search["trials"] if trial["measured_speed"] is not None]
    for trial in trials:
        is_chosen = trial["setting"] == search["chosen"] and trial["in_float"] == search["in_float"]
        colour = CHOSEN if is_chosen else GOOD if trial["holds"] else OTHER
        size = 90 if is_chosen else 40
        axes.scatter(trial["estimated_speed"], trial["mean_cosine"], s=size, color=colour, zorder=3 if is_chosen else 2)
    if (asked := search["budget"].get("mean_cosine")) is not None:
        axes.axhline(asked, color=OTHER, linestyle="--", linewidth=1)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("estimated speed of the products, all in floating point = 1")
    axes.set_ylabel("mean cosine to torch")
    axes.set_title("Tried: grey misses the budget, green holds it, blue was taken", fontsize=10)
    return figure


def _name(row: Row) -> str:
    twins = f" (+{len(row['same_bytes'])})" if row.get("same_bytes") else ""
    return f"{row['variant']}{twins}"


def _names(axes: Any, rows: Sequence[Row]) -> None:
    """Variants down the left side, the first on top; what failed is crossed out, what is a setting is grey."""
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color({"failed": BAD, "setting": SOFT}.get(row["verdict"], INK))


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8.5)


def _figure(height: int, rows: bool = False) -> tuple[Any, Any]:
    """A figure as high as so many lines of text; `rows`: without a frame around lines of names."""
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, and the same chart is the same bytes.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "chart", "font.family": "sans-serif"})
    matplotlib.rcParams.update(
        dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    )
    matplotlib.rcParams.update({"font.size": 9, "grid.color": SOFT})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 1.0 + 0.3 * height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3, axis="x" if rows else "both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def svg(figure: Any) -> str:
    """A chart as text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True)
    return text.getvalue()
