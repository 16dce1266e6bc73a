"""Chart of a search for a budget."""

from typing import Any

from foundry.reporting.charts.figures import BEST, GOOD, SOFT, new_figure, style
from foundry.variants.search_record import Search


@style()
def search(search: Search) -> Any:
    """What a search for a budget tried: each graph's closeness against its estimated speed, and the one it took."""
    figure, axes = new_figure(9)
    trials = [trial for trial in search["trials"] if trial["measured_speed"] is not None]
    for trial in trials:
        is_taken = trial["setting"] == search["chosen"] and trial["in_float"] == search["in_float"]
        colour = BEST if is_taken else GOOD if trial["holds"] else SOFT
        size = 90 if is_taken else 40
        axes.scatter(trial["estimated_speed"], trial["mean_cosine"], s=size, color=colour, zorder=3 if is_taken else 2)
    if (budget := search["budget"].get("mean_cosine")) is not None:
        axes.axhline(budget, color=SOFT, linestyle="--", linewidth=1)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("estimated speed of the products, all in floating point = 1")
    axes.set_ylabel("mean cosine to torch")
    axes.set_title("Tried: grey misses the budget, green holds it, blue was taken", fontsize=10)
    return figure
