"""What the integers of a network can reach: ranges of tensors, bounds of accumulators, the proof of a width.

Everything follows from the real weights and the clips, for any input: no calibration is involved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.network import Add, Concat, Conv, Layer, Network, Pool, Resize, Table

FLOAT32_EXACT = 1 << 24
"""Integers of at most this magnitude are exact in float32, sums and products of them too while they stay there."""

FLOAT64_EXACT = 1 << 53


@dataclass(frozen=True)
class Bound:
    """An interval of integers, both ends included."""

    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(-self.low, self.high)

    @property
    def bits(self) -> int:
        """The smallest two's complement width that holds the interval."""
        return max((~self.low if self.low < 0 else self.low).bit_length(), self.high.bit_length()) + 1

    def clip(self, clip: tuple[int, int]) -> Bound:
        """The interval after a clip."""
        low, high = clip
        return Bound(min(max(self.low, low), high), min(max(self.high, low), high))


def shifts(network: Network, conv: Conv) -> tuple[np.ndarray, np.ndarray | None]:
    """A convolution's shifts, one per output channel: of the accumulator to the right, of the residual to the left.

    Returns int64 (O,) and int64 (O,), the second None without a residual.
    Raises ValueError where the residual is finer than the accumulator: it cannot be added exactly.
    """
    tensors = network.tensors
    acc_frac = tensors[conv.input].fmt.frac + conv.weight_frac
    right = acc_frac - tensors[conv.output].fmt.frac
    if conv.residual is None:
        return right, None
    left = acc_frac - tensors[conv.residual].fmt.frac
    if left.min() < 0:
        raise ValueError(f"layer {conv.name}: residual {conv.residual} has more fractional bits than the accumulator")
    return right, left


def tensor_bounds(network: Network) -> dict[str, Bound]:
    """The integers that each tensor can hold: of its format, or fewer where a clip is tighter."""
    fmt = network.tensors[network.input].fmt
    bounds = {network.input: Bound(fmt.low, fmt.high)}
    for layer in network.layers:
        if isinstance(layer, Concat):
            parts = [bounds[name] for name in layer.inputs]
            bounds[layer.output] = Bound(min(p.low for p in parts), max(p.high for p in parts))
        elif isinstance(layer, Pool) and layer.kind == "max":
            bounds[layer.output] = bounds[layer.input].clip(layer.clip)
        elif isinstance(layer, Resize):
            bounds[layer.output] = bounds[layer.input]
        elif isinstance(layer, Table):
            first = network.tensors[layer.input].fmt.low
            met = layer.entries[bounds[layer.input].low - first : bounds[layer.input].high - first + 1]
            bounds[layer.output] = Bound(int(met.min()), int(met.max()))
        else:
            bounds[layer.output] = Bound(*layer.clip)
    return bounds


def conv_sums(
    weight: np.ndarray, bias: np.ndarray, data: Bound, residual: Bound | None = None, left: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest sum of any of a convolution's terms, in any order: partial sums are among them.

    weight: integers (O, ...); bias: integers (O,); data: of the input; residual: of the residual, which is
    shifted left by left[o].  Returns int64 (O,) twice, the first never above 0, the second never below.
    """
    weight = np.asarray(weight, np.int64)
    axes = tuple(range(1, weight.ndim))
    positive = np.maximum(weight, 0).sum(axes)
    negative = np.minimum(weight, 0).sum(axes)
    upper, lower = max(data.high, 0), min(data.low, 0)
    low = positive * lower + negative * upper + np.minimum(bias, 0)
    high = positive * upper + negative * lower + np.maximum(bias, 0)
    if residual is not None:
        low = low + (min(residual.low, 0) << np.asarray(left))
        high = high + (max(residual.high, 0) << np.asarray(left))
    return low, high


def accumulator_bound(network: Network, layer: Layer, bounds: dict[str, Bound] | None = None) -> Bound:
    """What the accumulator of a layer can hold at any time, in any order of summation, over all channels.

    For a convolution: partial sums of weight * input, bias and shifted residual.  For an average: partial
    sums.  For an Add: the aligned operands and their sum.  For what computes nothing: the values themselves.
    bounds: `tensor_bounds(network)`, where the caller has them already.
    """
    bounds = bounds or tensor_bounds(network)
    if isinstance(layer, Conv):
        left = shifts(network, layer)[1]
        residual = None if layer.residual is None else bounds[layer.residual]
        low, high = conv_sums(layer.weight, layer.bias, bounds[layer.input], residual, left)
        return Bound(int(low.min()), int(high.max()))
    terms = [bounds[name] for name in layer.inputs]
    if isinstance(layer, Add):
        fracs = [network.tensors[name].fmt.frac for name in layer.inputs]
        terms = [Bound(t.low << max(fracs) - f, t.high << max(fracs) - f) for t, f in zip(terms, fracs, strict=True)]
    elif isinstance(layer, Pool) and layer.kind == "average":
        terms = terms * (layer.window.kernel[0] * layer.window.kernel[1])
    else:
        return Bound(min(t.low for t in terms), max(t.high for t in terms))
    return Bound(sum(min(t.low, 0) for t in terms), sum(max(t.high, 0) for t in terms))


def accumulator_bits(network: Network, layer: Layer) -> int:
    """The smallest two's complement accumulator in which a layer cannot overflow, whatever its input."""
    return accumulator_bound(network, layer).bits


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
