"""Mixed precision: which layers' weights can have 4 bits, by what that does to the network's outputs.

Each layer is lowered alone, everything else in float, and its loss at the outputs is measured.  Layers are then
lowered in the order of loss over cost saved, until the cost is within the budget (greedy, as for a knapsack).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.target import Target
from quant.kinds.conv import FloatConv, convolution, float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.assemble import quantize_weights
from quant.search.judge import OutputJudge
from quant.search.weights import best_fracs

NARROW = 4

Cost = Callable[[Mapping[str, int]], float]
"""What a choice of weight widths costs: bits by layer name to bytes, cycles, ..."""


def weight_bytes(graph: FloatGraph) -> Cost:
    """The cost that counts bytes of weights."""
    sizes = {layer.name: layer.weight.size for layer in float_convolutions(graph.layers)}
    return lambda bits: sum(sizes[name] * width for name, width in bits.items()) / 8


def cycle_cost(network: Network, target: Target) -> Cost:
    """The cost that counts the cycles of one image on a target that can tell them.

    network: the graph's, quantized in any way: of the values only where they are zeros, and how few they are, matters.
    Raises ValueError for a target that cannot.
    """
    if target.cycles is None:
        raise ValueError("the target knows no cycles")
    cycles = target.cycles

    def cost(bits: Mapping[str, int]) -> float:
        layers = tuple(_with_bits(layer, bits) for layer in network.layers)
        return cycles(replace(network, layers=layers))

    return cost


def _with_bits(layer: Layer, bits: Mapping[str, int]) -> Layer:
    conv = convolution(layer)
    if conv is None or conv.name not in bits:
        return layer
    fmt = QFormat(bits[conv.name], 0)
    return replace(conv, weight=np.clip(conv.weight, fmt.low, fmt.high), weight_bits=fmt.bits)


def mixed_bits(
    graph: FloatGraph,
    images: Images,
    bits: Mapping[str, int],
    budget: float,
    cost: Cost | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Weight widths whose cost is within the budget, of least loss.

    images: float32 (N, C, H, W).  bits: the widths from which layers are lowered to 4.  cost: bytes of weights by
    default; it never rises when a layer is lowered.
    Raises BadInput where even 4 bits everywhere cost more.
    """
    cost = cost or weight_bytes(graph)
    widest = dict(bits)
    whole = cost(widest)
    if whole <= budget:
        return widest
    wide = [layer for layer in float_convolutions(graph.layers) if bits[layer.name] > NARROW]
    least = cost(widest | {layer.name: NARROW for layer in wide})
    if least > budget:
        raise BadInput(f"the budget is {budget:g}, and {NARROW}-bit weights everywhere cost {least:g}")
    judge = OutputJudge(graph, images)
    ratios = {}
    for done, layer in enumerate(wide, 1):
        saved = whole - cost(widest | {layer.name: NARROW})
        if saved > 0:
            ratios[layer.name] = judge.replaced(narrowed(layer)) / saved
        if progress:
            progress("sensitivity of weights", done, len(wide))
    order = sorted(ratios, key=ratios.__getitem__)
    order += [layer.name for layer in wide if layer.name not in ratios]  # saves nothing alone, perhaps with others
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if cost(widest | dict.fromkeys(order[:middle], NARROW)) <= budget:
            high = middle
        else:
            low = middle + 1
    return widest | dict.fromkeys(order[:low], NARROW)


def narrowed(layer: FloatConv) -> FloatConv:
    """The layer with the values of 4-bit weights, each output channel in its own format."""
    frac = best_fracs(layer.weight, NARROW, "square")
    integers = quantize_weights(layer.weight, NARROW, frac)
    return replace(layer, weight=dequantize(integers, frac.reshape(-1, 1, 1, 1)).astype(np.float32))
