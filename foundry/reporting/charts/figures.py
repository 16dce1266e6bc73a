"""What all charts have in common: colours, a frame with the variants' names, and how a figure becomes SVG or PNG."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from foundry.reporting.rows import MergedRow

INK, SOFT = "#1c2733", "#8c959f"
GOOD, BEST, BAD = "#1a7f37", "#0969da", "#cf222e"
SERIES = ("#0969da", "#bc4c00", "#8250df", "#1a7f37", "#bf3989", "#6e7781")  # told apart with any colour vision

STYLE = {
    # Text stays text, and the same chart is the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "chart",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": SOFT,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@contextmanager
def style() -> Iterator[None]:
    """Draw or save in the style of these charts, as a context or a decorator; afterwards matplotlib is as it was.

    Ticks are made when a figure is saved, so saving needs the style as much as drawing.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def new_figure(lines: int, of_variants: bool = False) -> tuple[Any, Any]:
    """A figure as high as so many lines of text, and its axes; `of_variants`: each line is a variant's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 1.0 + 0.3 * lines), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3, axis="x" if of_variants else "both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label(row: MergedRow) -> str:
    """A variant's name, and how many others have the same bytes."""
    others = f" (+{len(row['same_bytes'])})" if row["same_bytes"] else ""
    return f"{row['variant']}{others}"


def write_names(axes: Any, table: Sequence[MergedRow]) -> None:
    """Write the variants' names down the left side, the first on top: red what failed, grey what is a setting."""
    axes.set_yticks(range(len(table)), [label(row) for row in table])
    axes.set_ylim(len(table) - 0.4, -0.6)
    for text, row in zip(axes.get_yticklabels(), table, strict=True):
        text.set_color({"failed": BAD, "setting": SOFT}.get(row["verdict"], INK))


def write_legend(axes: Any) -> None:
    """Write a legend above the axes, where there is something to explain."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8.5)


@style()
def svg(figure: Any) -> str:
    """A chart as text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True)
    return text.getvalue()


@style()
def png(figure: Any) -> bytes:
    """A chart for a model card, which shows no SVG everywhere: on white, for displays of two dots a pixel."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, facecolor="#ffffff", metadata={"Software": None})
    return image.getvalue()


def inline(svg: str) -> str:
    """An SVG for a page: no declaration, and text in the page's own colour, light or dark."""
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def as_file(svg: str) -> str:
    """An SVG for a file: on white, because what shows it may be dark."""
    head, _, rest = svg.partition("<defs>")
    return f'{head}<rect width="100%" height="100%" fill="#ffffff"/>\n <defs>{rest}'
