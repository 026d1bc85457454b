"""How sensitive each layer is to pruning, by itself (Han et al. 2015): what it does to the network's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.compress import magnitude
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from quant.compress.prune import prunable, thresholded
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.judge import OutputJudge

RATES = (0.3, 0.5, 0.7, 0.9)
"""Shares of a layer's weights that are taken away."""


@dataclass(frozen=True)
class Sensitivity:
    """One layer.  noise: at the network's outputs, over the signal, at each of the rates."""

    layer: str
    weights: int
    noise: tuple[float, ...]


def scan(
    graph: FloatGraph,
    images: Images,
    block: Block = SINGLE,
    rates: Sequence[float] = RATES,
    progress: Progress | None = None,
) -> tuple[Sensitivity, ...]:
    """Prune each layer alone by magnitude, and leave what stays as it is.  images: float32 (N, C, H, W)."""
    judge = OutputJudge(graph, images)
    layers = [layer for layer in float_convolutions(graph.layers) if prunable(layer, block, ())]
    found = []
    for done, layer in enumerate(layers, 1):
        scores, noise = magnitude.scores(Moments(layer, None), block.of(layer.name)), []
        for rate in rates:
            kept = thresholded({layer.name: layer}, {layer.name: scores}, rate, block)[layer.name]
            noise.append(judge.replaced(replace(layer, weight=np.where(kept, layer.weight, np.float32(0)))))
        found.append(Sensitivity(layer.name, layer.weight.size, tuple(noise)))
        if progress:
            progress("sensitivity of layers", done, len(layers))
    return tuple(found)
