"""Every tensor of the fixed-point network against the float one, all layers quantized: errors accumulate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.compare.measure import Errors, ErrorSums
from quant.compare.spread import Spread, SpreadSums
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.run.calibration import Progress
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_run import FloatRunner


@dataclass(frozen=True)
class TensorComparison(Errors):
    """The errors of one tensor, and what it holds.

    layer: the layer that writes it, empty for the network's input.  format: as QFormat writes itself.
    float_low, float_high: the float network's range.  spread: the values as the format sees them.
    """

    layer: str
    tensor: str
    format: str
    float_low: float
    float_high: float
    spread: Spread


@dataclass(frozen=True, eq=False)
class Accumulated:
    """All tensors that both networks have, the input first, then in execution order.

    shifts: float64 (C, H, W) by tensor, the mean over images of float less fixed.  left_out: the names of the float
    network's other tensors.
    """

    tensors: tuple[TensorComparison, ...]
    shifts: dict[str, np.ndarray]
    left_out: tuple[str, ...]


def accumulate(network: Network, graph: FloatGraph, images: Given, progress: Progress | None = None) -> Accumulated:
    """Compare every tensor over images, as `compare_layers`."""
    graph = matched(network, graph)
    written = {layer.output: layer.name for layer in network.layers}
    names = [name for name in (*network.inputs, *written) if name in graph.shapes]
    scales = tensor_scales(network)
    errors = {name: ErrorSums(network.tensors[name].fmt, scales[name]) for name in names}
    spreads = {name: SpreadSums(network.tensors[name].fmt, scales[name]) for name in names}
    executor = FastExecutor(network)
    for part, reference in FloatRunner(graph).run(images):
        fixed = executor.run(quantize_images(network, images[part]), names)
        for name in names:
            errors[name].add(reference[name], fixed[name])
            spreads[name].add(reference[name])
        if progress:
            progress("compare", part.stop, len(images))
    for name in names:
        if not np.isfinite([spreads[name].low, spreads[name].high]).all():
            raise BadInput(f"{graph.name}: tensor {name} becomes infinite or NaN on these images")
    found = tuple(
        TensorComparison(
            **vars(errors[name].errors()),
            layer=written.get(name, ""),
            tensor=name,
            format=str(network.tensors[name].fmt),
            float_low=float(spreads[name].low.min()),
            float_high=float(spreads[name].high.max()),
            spread=spreads[name].spread(),
        )
        for name in names
    )
    shifts = {name: errors[name].error / len(images) for name in names}
    return Accumulated(found, shifts, tuple(name for name in graph.shapes if name not in network.tensors))


def compare_layers(
    network: Network, graph: FloatGraph, images: Given, progress: Progress | None = None
) -> tuple[TensorComparison, ...]:
    """Compare every tensor that both networks have, the input first, then in execution order.

    images: float32 (N, C, H, W) as `quant.run.images.prepare` returns them, N >= 1.  Memory does not grow with N
    but for a few thousand values of each tensor and image.
    The scales of an equalized network are taken out.  Not compared are sums that only the integer network has,
    a convolution whose residual is added separately, and tensors that a file of another tool names otherwise.
    Raises BadInput as `matched` does.
    """
    return accumulate(network, graph, images, progress).tensors
