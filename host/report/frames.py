"""Frames a second against logic: every engine of a search as a point, and those that no other beats as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from host.engine_search import Engine
from host.report.drawing import BLUE, GREY, INK, ORANGE, STYLE, label, svg


def picture(
    measured: Sequence[Engine], front: Sequence[Engine], presets: Mapping[str, Engine], best: Engine, part: str
) -> str:
    """An SVG element.  front: of `measured`; presets: by name."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.2))
        axes = figure.subplots()
        axes.plot(*_places(measured), "o", markersize=4, color=GREY, label="engines measured")
        axes.plot(*_places(front), "o-", markersize=4, linewidth=0.8, color=BLUE, label="no other is faster")
        axes.plot(*_places(list(presets.values())), "s", markersize=6, color=ORANGE, label="presets")
        in_order = sorted(presets.items(), key=lambda item: (item[1].needs.logic, item[1].frames_per_second))
        for number, (name, engine) in enumerate(in_order):  # names of neighbours stand at either side
            place = (engine.needs.logic, engine.frames_per_second)
            side: dict[str, Any] = {"xytext": (-6, 4), "ha": "right"} if number % 2 else {"xytext": (6, -10)}
            axes.annotate(label(name), place, textcoords="offset points", fontsize=8, **side)
        axes.plot(*_places([best]), "o", markersize=11, fillstyle="none", color=INK, label="written")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel(f"logic of {label(part)}, tables, estimated")
        axes.set_ylabel("frames a second")
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        return svg(figure)


def _places(engines: Sequence[Engine]) -> tuple[list[int], list[float]]:
    """Where engines are, across and down."""
    return [engine.needs.logic for engine in engines], [engine.frames_per_second for engine in engines]
