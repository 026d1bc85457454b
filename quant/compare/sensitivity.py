"""Every layer alone, the most sensitive first, with the reason and what repairs it."""

from __future__ import annotations

from dataclasses import dataclass

from quant.compare.accumulated import Accumulated
from quant.compare.alone import LayerAlone, alone
from quant.compare.quantized import quantized_layer
from quant.compare.reasons import reason
from quant.compare.repairs import Repair, cheapest, repairs
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.run.calibration import Progress

REPAIR_IMAGES = 16
"""Images on which repairs are tried: what they gain is a ratio of two noises, which few images give well."""


@dataclass(frozen=True)
class Sensitivity:
    """What one layer adds, why, and what would make it less.

    reason: in words; empty where nothing is clear.  repair: the change that takes most noise away for what it
    costs; None where none was tried or none is worth it.  tried: all that were tried, the largest gain first.
    """

    alone: LayerAlone
    reason: str
    repair: Repair | None
    tried: tuple[Repair, ...]


def sensitivities(
    network: Network,
    graph: FloatGraph,
    images: Given,
    accumulated: Accumulated,
    progress: Progress | None = None,
) -> tuple[Sensitivity, ...]:
    """Quantize each layer alone; those that cost the network's outputs most come first.

    images: float32 (N, C, H, W), N >= 1, a few dozen: their tensors are held in memory a few at a time.
    accumulated: of the same networks.  Raises BadInput as `matched` does.
    """
    graph = matched(network, graph)
    entries = alone(network, graph, images, accumulated.shifts, progress)
    tried = repairs(network, graph, images[:REPAIR_IMAGES], entries, accumulated.shifts, progress)
    tensors = {tensor.tensor: tensor for tensor in accumulated.tensors}
    layers = {layer.output: layer for layer in graph.layers}
    scales = tensor_scales(network)
    found = []
    for entry in sorted(entries, key=lambda entry: -entry.output_noise):
        layer = layers.get(entry.tensor)
        quantized = None if layer is None else quantized_layer(network, scales, layer)
        changes = tried.get(entry.tensor, ())
        words = reason(network, layer, quantized, entry, tensors)
        found.append(Sensitivity(entry, words, cheapest(changes), changes))
    return tuple(found)
