"""Charts of the report. A chart is a matplotlib figure; `svg` and `png` write it, and nothing is loaded from anywhere."""

from foundry.reporting.charts.closeness import closeness, pareto_front, quality
from foundry.reporting.charts.figures import as_file, inline, png, svg
from foundry.reporting.charts.footprint import footprint
from foundry.reporting.charts.search import search
from foundry.reporting.charts.speed import latency, speedup

__all__ = [
    "as_file", "closeness", "footprint", "inline", "latency", "pareto_front", "png", "quality", "search", "speedup",
    "svg",
]  # fmt: skip
