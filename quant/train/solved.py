"""Where training begins: with the weights that the quantizer finds without training for what is asked.

It solves each layer against its output, and corrects its bias (docs/compression.md).  What is cut from the weights of a
network whose normalisation is folded, by a threshold, leaves so little of its answers that training begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.target import Target
from quant.kinds.conv import convolution
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search import quantize_network
from quant.search.structure import Structure


@dataclass(frozen=True, eq=False)
class Solved:
    """structures: what is asked of layers, by name.  weights: float32, of these layers; exponents: int64 (O,), beside
    which their channels share values, if they do.  biases: float32 (O,), of all layers."""

    structures: Mapping[str, Structure]
    weights: Mapping[str, np.ndarray]
    exponents: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray]


def solved(
    graph: FloatGraph,
    images: Images,
    structures: Mapping[str, Structure],
    target: Target | None = None,
    progress: Progress | None = None,
) -> Solved:
    """The network with what is asked of its layers, without training.  images: float32 (N, C, H, W)."""
    network = quantize_network(
        graph,
        images,
        target=target,
        structures=structures,
        equalization=None,  # channels that were scaled would not share values any more
        progress=progress,
    )
    return read(network, structures)


def read(network: Network, structures: Mapping[str, Structure]) -> Solved:
    """The same, of a network whose tensors have no scales."""
    weights, exponents, biases = {}, {}, {}
    for conv in filter(None, map(convolution, network.layers)):
        frac = conv.weight_frac
        shift = network.tensors[conv.input].fmt.frac + frac
        biases[conv.name] = dequantize(conv.bias, shift).astype(np.float32)
        if conv.name in structures:
            weights[conv.name] = dequantize(conv.weight, frac.reshape(-1, 1, 1, 1)).astype(np.float32)
            exponents[conv.name] = np.sort(frac)[len(frac) // 2] - frac
    return Solved(structures, weights, exponents, biases)
