"""The fixed-point network against the float network it came from: tensor by tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quant.calibration import Progress
from quant.execute import Executor, quantize_input
from quant.fixedpoint import QFormat
from quant.float_run import FloatRunner
from quant.graph import FloatGraph
from quant.network import Network


@dataclass(frozen=True)
class TensorComparison:
    """How far one fixed-point tensor lies from its float one, over all images.

    layer: the layer that writes it, empty for the network's input.  format: as QFormat writes itself.
    sqnr_db: signal energy over error energy in dB; None where one of them is zero.  max_abs_error: in the
    float network's units.  cosine: of the two tensors as vectors, 1 where both are zero.  saturated: share of
    the elements that stand at a bound of the format while the float value lies beyond it.  unused_bits: top
    bits, without the sign, that no element needs.  float_low, float_high: the float values' range.
    """

    layer: str
    tensor: str
    format: str
    sqnr_db: float | None
    max_abs_error: float
    cosine: float
    saturated: float
    unused_bits: int
    float_low: float
    float_high: float


class _Sums:
    """What a comparison needs to know of one tensor, added up batch by batch."""

    def __init__(self, fmt: QFormat) -> None:
        self.fmt = fmt
        self.elements = self.saturated = self.used_bits = 0
        self.signal = self.noise = self.product = self.energy = self.max_error = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, reference: np.ndarray, integers: np.ndarray) -> None:
        if not reference.size:
            return
        fmt = self.fmt
        float_values = reference.reshape(-1).astype(np.float64)
        integers = integers.reshape(-1)
        fixed = integers * fmt.step
        error = float_values - fixed
        self.elements += float_values.size
        self.signal += float(np.vdot(float_values, float_values))
        self.noise += float(np.vdot(error, error))
        self.product += float(np.vdot(float_values, fixed))
        self.energy += float(np.vdot(fixed, fixed))
        self.max_error = max(self.max_error, float(error.max()), -float(error.min()))
        low, high = float(float_values.min()), float(float_values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if low < fmt.low * fmt.step:
            self.saturated += int(((integers == fmt.low) & (float_values < fmt.low * fmt.step)).sum())
        if high > fmt.high * fmt.step:
            self.saturated += int(((integers == fmt.high) & (float_values > fmt.high * fmt.step)).sum())
        ends = int(integers.min()), int(integers.max())
        self.used_bits = max(self.used_bits, *((~end if end < 0 else end).bit_length() for end in ends))

    def result(self, tensor: str, layer: str) -> TensorComparison:
        norm = math.sqrt(self.signal * self.energy)
        return TensorComparison(
            layer=layer,
            tensor=tensor,
            format=str(self.fmt),
            sqnr_db=10 * math.log10(self.signal / self.noise) if self.signal and self.noise else None,
            max_abs_error=self.max_error,
            cosine=self.product / norm if norm else float(self.signal == self.energy),
            saturated=self.saturated / max(self.elements, 1),
            unused_bits=self.fmt.bits - self.fmt.signed - self.used_bits,
            float_low=self.low,
            float_high=self.high,
        )


def compare_layers(
    network: Network, graph: FloatGraph, images: np.ndarray, progress: Progress | None = None
) -> tuple[TensorComparison, ...]:
    """Compare every tensor that both networks have, the input first, then in execution order.

    images: float32 (N, C, H, W) as `quant.images.prepare` returns them, N >= 1.  Memory does not grow with N.
    Not compared are sums that only the integer network has: a convolution whose residual is added separately.
    """
    written = {layer.output: layer.name for layer in network.layers}
    names = [name for name in (network.input, *written) if name in graph.shapes]
    sums = {name: _Sums(network.tensors[name].fmt) for name in names}
    executor = Executor(network)
    for part, reference in FloatRunner(graph).run(images):
        fixed = executor.run(quantize_input(network, images[part]), names)
        for name in names:
            sums[name].add(reference[name], fixed[name])
        if progress:
            progress("compare", part.stop, len(images))
    return tuple(sums[name].result(name, written.get(name, "")) for name in names)
