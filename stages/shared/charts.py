"""Charts of the report, as SVG that stands inside a page: nothing is loaded from anywhere."""

import io
from typing import Any

from stages.shared.results import Search

GOOD, OTHER, CHOSEN = "#1a7f37", "#8c959f", "#0969da"


def search_chart(search: Search) -> str:
    """What a search for a budget tried: each graph's closeness against its estimated speed, and the one it took."""
    figure, axes = _figure()
    trials = [trial for trial in search["trials"] if trial["measured_speed"] is not None]
    for trial in trials:
        is_chosen = trial["setting"] == search["chosen"] and trial["in_float"] == search["in_float"]
        colour = CHOSEN if is_chosen else GOOD if trial["holds"] else OTHER
        size = 90 if is_chosen else 40
        axes.scatter(trial["estimated_speed"], trial["mean_cosine"], s=size, color=colour, zorder=3 if is_chosen else 2)
    if (asked := search["budget"].get("mean_cosine")) is not None:
        axes.axhline(asked, color=OTHER, linestyle="--", linewidth=1)
    axes.set_xlabel("estimated speed of the products, all in floating point = 1")
    axes.set_ylabel("mean cosine to torch")
    axes.set_title("Tried: grey misses the budget, green holds it, blue was taken", fontsize=10)
    return _svg(figure)


def _figure() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, and the same chart is the same bytes.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "chart", "font.family": "sans-serif"})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.ticklabel_format(useOffset=False)
    return figure, axes


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]  # a page has no place for an XML declaration
