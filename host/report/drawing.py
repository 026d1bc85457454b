"""How all pictures look: colours, style, rows of bars, names that fit, SVG text.

Figures are made without pyplot, whose backend is of the process: of the notebook that shiftpoint is imported in.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from host.names import common, fold, printable

INK, BLUE, ORANGE, GREEN, GREY, RED = "#1f2937", "#2563eb", "#ea8a1a", "#16a34a", "#cbd5e1", "#dc2626"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": "#94a3b8",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "shiftpoint",
    "figure.constrained_layout.use": True,
}
NAME = 34
"""Characters of a layer's name that a line of a picture has room for."""


def svg(figure: Figure) -> str:
    """The figure as an SVG element.  The same figure gives the same text."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # text stays text: the reader's fonts have what this one lacks
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, for pictures of many points."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def label(name: str, length: int = NAME) -> str:
    """A name as a picture's text: over lines of some characters, and never a formula, whatever it holds."""
    return fold(printable(name), length).replace("$", r"\$")


def rows(names: Sequence[str], columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of horizontal rows, the first on top, named at the left, in some columns that share them."""
    start = common(names)
    labels = [label(name.removeprefix(start)) for name in names]
    lines = max((text.count("\n") + 1 for text in labels), default=1)
    height = 0.9 + max(0.24, 0.13 * lines) * len(labels)
    figure = Figure(figsize=(8.6, height))
    grid = figure.subplots(1, columns, sharey=True, squeeze=False, **options)
    axes = list(grid[0])
    for one in axes:
        one.tick_params(axis="y", length=0)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    axes[0].set_yticks(range(len(labels)), labels, fontsize=9 if lines == 1 else 7.5)
    if start:
        figure.suptitle(f"layers: without {label(start, 120)}", x=0.01, ha="left", fontsize=8)
    return figure, axes
