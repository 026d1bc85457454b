"""Pictures of the comparison: errors along the network, what each layer costs, what each tensor holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from host.names import common
from host.report.drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, STYLE, label, png, rows, svg
from quant.base.files import write_atomic

Values = Mapping[str, Any]
POOR = 15.0
"""dB below which a layer's error stands out."""
RANKED = 30
"""Layers that the picture of sensitivity shows."""
PAGE = (4, 3)
"""Histograms of a page: rows and columns."""
TITLE = 44
"""Characters of a line of a histogram's title."""
CAUSES = {"weights": (BLUE, "weights"), "rounding": (ORANGE, "rounding"), "saturation": (RED, "saturation")}


def sqnr(layers: Sequence[tuple[str, float, float | None]]) -> str:
    """The signal-to-quantization-noise ratio along the network.

    layers: name, ratio in dB with all layers quantized, and with this one alone or None.
    """
    figure, (axes,) = rows([name for name, _, _ in layers])
    for i, (_, accumulated, alone) in enumerate(layers):
        axes.barh(i, accumulated, color=RED if accumulated < POOR else BLUE, height=0.62)
        axes.text(0.4, i, f"{accumulated:.1f}", va="center", fontsize=7, color="white" if accumulated > 3 else INK)
        if alone is not None:
            axes.plot([accumulated, alone], [i, i], color=GREY, linewidth=1.2, zorder=0)
            axes.plot(alone, i, "o", color=INK, markersize=3.5)
    axes.set_xlabel("SQNR in dB (each bit is worth 6); bar: all layers quantized; dot: this layer alone")
    return svg(figure)


def sensitivity(layers: Sequence[Values]) -> str:
    """What each layer costs by itself, the most sensitive first: its share of the noise, and answers."""
    shown = [layer for layer in layers if layer["output_noise"] > 0][:RANKED]
    figure, (noise, answers) = rows([layer["layer"] or "(input)" for layer in shown], 2, width_ratios=(3, 2))
    for i, layer in enumerate(shown):
        left = 0.0
        for cause, (colour, _) in CAUSES.items():
            width = 100 * layer["noise_share"] * layer["causes"][cause]
            noise.barh(i, width, left=left, color=colour, height=0.62)
            left += width
        noise.text(left + 0.2, i, f"{layer['output_sqnr_db']:.1f} dB", va="center", fontsize=7.5)
        answers.barh(i, 100 * layer["agreement_lost"], color=GREY, height=0.7)
        answers.barh(i, 100 * layer["agreement_risk"], color=INK, height=0.3)
    for colour, word in CAUSES.values():
        noise.barh(0, 0, color=colour, label=word)
    noise.legend(loc="lower right", frameon=False, fontsize=8)
    noise.margins(x=0.14)
    answers.set_xlim(0, max(0.5, 105 * max(max(r["agreement_lost"], r["agreement_risk"]) for r in shown)))
    noise.set_xlabel("share of the output's noise in %, by cause; dB at the output")
    answers.set_xlabel("agreement lost in %\ngrey: counted; black: expected")
    return svg(figure)


def histogram(axes: Axes, tensor: Values, start: str) -> None:
    """What a tensor held, beside what its format can represent.  start: what its name is shown without."""
    spread = tensor["spread"]
    counts = np.array(spread["histogram"], float)
    edges = spread["histogram_low"] + spread["histogram_step"] * np.arange(len(counts) + 1)
    quarter = len(counts) // 4
    low, high = edges[quarter], edges[-1 - quarter]
    axes.axvspan(low, high, color=GREEN, alpha=0.1, linewidth=0)
    inside = np.zeros(len(counts), bool)
    inside[quarter:-quarter] = True
    for chosen, colour in ((inside, BLUE), (~inside, RED)):
        axes.stairs(np.where(chosen, counts, 0), edges, fill=True, color=colour)
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(2.0, 2 * counts.max()))
    filled = np.flatnonzero(counts)
    reach = (edges[filled[0]], edges[filled[-1] + 1]) if filled.size else (low, high)
    pad = 0.03 * (high - low)
    axes.set_xlim(min(low, reach[0]) - pad, max(high, reach[1]) + pad)
    axes.tick_params(labelsize=6.5)
    ratio = "" if tensor["sqnr_db"] is None else f", {tensor['sqnr_db']:.1f} dB"
    cut = f", {100 * tensor['saturated']:.2g} % cut off" if tensor["saturated"] else ""
    bits = tensor["unused_bits"]
    free = f", {bits} top bit{'s' if bits > 1 else ''} free" if bits else ""
    name = label((tensor["layer"] or f"(input) {tensor['tensor']}").removeprefix(start), TITLE)
    axes.set_title(f"{name}\n{tensor['format']}{ratio}{cut}{free}", fontsize=7)


PLOTS = ("sqnr.svg", "sensitivity.svg", "histograms_01.png")
"""Names of the pictures; more of the last follow where there are many tensors."""


def write_plots(value: Values, folder: Path) -> list[Path]:
    """Draw what `compare` found into a folder: sqnr.svg, sensitivity.svg, and histograms, histograms_01.png and on."""
    pages: list[tuple[str, bytes]] = []
    alone = {entry["tensor"]: entry["sqnr_db"] for entry in value["sensitivity"]["layers"]}
    along = [
        (tensor["layer"] or "(input)", tensor["sqnr_db"], alone.get(tensor["tensor"]))
        for tensor in value["tensors"]
        if tensor["sqnr_db"] is not None
    ]
    with matplotlib.rc_context(STYLE):
        if along:
            pages.append(("sqnr.svg", sqnr(along).encode()))
        if any(entry["output_noise"] > 0 for entry in value["sensitivity"]["layers"]):
            pages.append(("sensitivity.svg", sensitivity(value["sensitivity"]["layers"]).encode()))
    with matplotlib.rc_context({**STYLE, "figure.constrained_layout.use": False}):  # a fixed grid needs no solver
        size = PAGE[0] * PAGE[1]
        start = common(tensor["layer"] for tensor in value["tensors"])
        for first in range(0, len(value["tensors"]), size):
            page = _histograms(value["tensors"][first : first + size], start)
            pages.append((f"histograms_{first // size + 1:02}.png", page))
    for name, content in pages:
        write_atomic(folder / name, content)
    return [folder / name for name, _ in pages]


def _histograms(tensors: Sequence[Values], start: str) -> bytes:
    count = -(-len(tensors) // PAGE[1])
    height = 2.3 * count + 0.8  # inches: the rows, and what stands around them
    figure = Figure(figsize=(9.6, height))
    grid = figure.subplots(count, PAGE[1], squeeze=False)
    figure.subplots_adjust(0.07, 0.6 / height, 0.98, 1 - 0.45 / height, 0.2, 0.42)
    for axes in grid.flat[len(tensors) :]:
        axes.axis("off")
    for axes, tensor in zip(grid.flat, tensors, strict=False):
        histogram(axes, tensor, start)
    without = f"; layers: without {label(start, 120)}" if start else ""
    figure.supxlabel(
        f"value, times its channel's scale; green: what the format holds; red: cut off{without}", fontsize=8
    )
    figure.supylabel("samples", fontsize=8)
    return png(figure)
