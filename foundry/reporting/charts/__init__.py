"""Charts of the report: matplotlib figures, which `svg` and `png` write; nothing in them is loaded from anywhere."""

from foundry.reporting.charts.closeness import closeness, pareto_front, quality
from foundry.reporting.charts.figures import as_file, inline, png, svg
from foundry.reporting.charts.footprint import footprint
from foundry.reporting.charts.running import fastest_ways, scaling, ways_to_run
from foundry.reporting.charts.search import search
from foundry.reporting.charts.speed import latency, speedup

__all__ = [
    "as_file", "closeness", "fastest_ways", "footprint", "inline", "latency", "pareto_front", "png", "quality",
    "scaling", "search", "speedup", "svg", "ways_to_run",
]  # fmt: skip
