"""How all pictures look: colours, style, rows of bars, names that fit, SVG text."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREEN, GREY, RED = "#1f2937", "#2563eb", "#ea8a1a", "#16a34a", "#cbd5e1", "#dc2626"
STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9, "axes.edgecolor": "#94a3b8", "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "svg.fonttype": "none", "svg.hashsalt": "shiftpoint",
    "figure.constrained_layout.use": True,
}  # fmt: skip
NAME = 34
"""Characters of a layer's name that a picture has room for."""


def svg(figure: Figure) -> str:
    """The figure as an SVG element; closes it.  The same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, for pictures of many points; closes it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def short(name: str, length: int = NAME) -> str:
    """A name with its middle left out where it is longer: both ends tell layers apart."""
    if len(name) <= length:
        return name
    tail = (length - 1) * 2 // 3
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def rows(count: int, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` horizontal rows, the first on top, in some columns that share them."""
    figure, grid = plt.subplots(
        1, columns, figsize=(8.6, 0.9 + 0.24 * count), sharey=True, squeeze=False, **options
    )  # fmt: skip
    axes = list(grid[0])
    for one in axes:
        one.tick_params(axis="y", length=0)
    axes[0].set_ylim(count - 0.4, -0.6)
    return figure, axes


def name_rows(axes: Axes, names: list[str]) -> None:
    """Write the rows' names at the left."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
