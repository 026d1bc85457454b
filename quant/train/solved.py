"""Where ternary weights begin: as the quantizer finds them without training.

Cutting the weights of a network whose normalisation is folded at a threshold leaves so little of its answers that
training begins anew.  The quantizer solves each layer against its output, and corrects its bias (docs/compression.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.target import Target
from quant.kinds.conv import convolution, float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search import quantize_network
from quant.search.structure import Structure


@dataclass(frozen=True, eq=False)
class Solved:
    """weights: float32 by name, of ternary layers; exponents: int64 (O,), beside which their channels share values;
    biases: float32 (O,), of all layers."""

    weights: Mapping[str, np.ndarray]
    exponents: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray]


def solved(
    graph: FloatGraph,
    images: Images,
    left: Collection[str],
    target: Target | None = None,
    progress: Progress | None = None,
) -> Solved:
    """All layers but those that are left, ternary without training.  images: float32 (N, C, H, W)."""
    names = [layer.name for layer in float_convolutions(graph.layers) if layer.name not in left]
    network = quantize_network(
        graph,
        images,
        target=target,
        structures={name: Structure(ternary=True) for name in names},
        equalization=None,  # channels that were scaled would not share values any more
        progress=progress,
    )
    return read(network, names)


def read(network: Network, names: Collection[str]) -> Solved:
    """The same, of a network whose tensors have no scales."""
    weights, exponents, biases = {}, {}, {}
    for conv in filter(None, map(convolution, network.layers)):
        frac = conv.weight_frac
        shift = network.tensors[conv.input].fmt.frac + frac
        biases[conv.name] = dequantize(conv.bias, shift).astype(np.float32)
        if conv.name in names:
            weights[conv.name] = dequantize(conv.weight, frac.reshape(-1, 1, 1, 1)).astype(np.float32)
            exponents[conv.name] = np.sort(frac)[len(frac) // 2] - frac
    return Solved(weights, exponents, biases)
