"""Accuracy against what it costs: every plan of a search as a point, and those that no other beats as a line."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from host.report.drawing import INK, STYLE, svg
from quant.optimize import BYTES, Point, front

COLOURS = ("#2563eb", "#ea8a1a", "#16a34a", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#92400e")
MARKERS = "o^sD"
"""Of the first so many methods as there are colours, of the next, ..."""
SHOWN = 20.0
"""Points of loss up to which a picture goes: what loses more is of no use to anybody."""


def picture(points: Sequence[Point], best: Point, cost: str) -> str:
    """An SVG element.  cost: of a point, by name, along the horizontal axis; loss grows downwards."""
    made = [point for point in points if point.loss is not None and point.loss <= SHOWN]
    origins = list(dict.fromkeys(point.plan.origin for point in made))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.6))
        axes = figure.subplots()
        for place, origin in enumerate(origins):
            own = [point for point in made if point.plan.origin == origin]
            turn, colour = divmod(place, len(COLOURS))
            marker = MARKERS[turn % len(MARKERS)]
            axes.plot(*_places(own, cost), marker, markersize=4, color=COLOURS[colour], label=origin)
        line = front(made, cost)
        axes.plot(*_places(line, cost), color=INK, linewidth=0.8, zorder=0)
        if best in made:
            axes.plot(*_places([best], cost), "o", markersize=11, fillstyle="none", color=INK, label="written")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(6))  # and not at powers of ten, of which there may be none
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.invert_yaxis()
        axes.set_xlabel(f"{cost}, bytes" if cost == BYTES else f"{cost} of one image")
        axes.set_ylabel("top-1 lost against float, points")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        return svg(figure)


def _places(points: Sequence[Point], cost: str) -> tuple[list[float], list[float]]:
    """Where points are, across and down."""
    return [point.costs[cost] for point in points], [point.loss or 0.0 for point in points]
