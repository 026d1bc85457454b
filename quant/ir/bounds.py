"""What the integers of a network can reach: ranges of tensors, bounds of accumulators, the proof of a width.

Everything follows from the real weights and the clips, for any input: no calibration is involved.
"""

from __future__ import annotations

from collections.abc import Mapping

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Bound


def tensor_bounds(network: Network) -> dict[str, Bound]:
    """The integers that each tensor can hold: of its format, or fewer where a clip is tighter."""
    formats = {name: network.tensors[name].fmt for name in network.inputs}
    bounds = {name: Bound(fmt.low, fmt.high) for name, fmt in formats.items()}
    for layer in network.layers:
        bounds[layer.output] = layer.bound(network.tensors, bounds)
    return bounds


def accumulator_bound(network: Network, layer: Layer, bounds: Mapping[str, Bound] | None = None) -> Bound:
    """What the accumulator of a layer can hold at any time, in any order of summation, over all channels.

    bounds: `tensor_bounds(network)`, where the caller has them already.
    """
    return layer.accumulator(network.tensors, bounds or tensor_bounds(network))


def prove(network: Network, acc_bits: int) -> None:
    """Prove that no layer can overflow accumulators of acc_bits bits.

    Raises UnsupportedNetwork, naming layer, bound and width, where that cannot be proved.
    """
    bounds = tensor_bounds(network)
    for layer in network.layers:
        bound = accumulator_bound(network, layer, bounds)
        if bound.bits > acc_bits:
            raise UnsupportedNetwork(
                f"layer {layer.name}: the accumulator can reach {bound.magnitude}, which needs {bound.bits} bits, "
                f"and has {acc_bits}"
            )
