"""What pruning each layer alone does to the network's outputs, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from host.report.drawing import STYLE, rows, svg
from quant.compress import RATES, Sensitivity

COLOURS = ("#bfdbfe", "#60a5fa", "#2563eb", "#1e3a8a")
"""Of the rates, the least first."""


def picture(found: Sequence[Sensitivity]) -> str:
    """An SVG element: layers as rows, the signal-to-noise ratio that each leaves alone as points, a colour a rate."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = rows([layer.layer for layer in found])
        for place, (rate, colour) in enumerate(zip(RATES, COLOURS, strict=True)):
            noise = np.array([layer.noise[place] for layer in found])
            left = -10 * np.log10(np.maximum(noise, 1e-12))
            axes.plot(left, range(len(found)), "o", color=colour, label=f"{rate:.0%} pruned")
        axes.set_xlabel("signal over noise at the outputs, dB, this layer alone pruned by magnitude")
        figure.legend(loc="outside lower center", ncols=len(RATES), frameon=False)
        return svg(figure)
