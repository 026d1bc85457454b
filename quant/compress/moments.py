"""What the inputs of each convolution are like in the float network: the correlations that saliencies are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.inputs import by_input
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress
from quant.run.float_run import LayerRunner
from quant.run.images import Images
from quant.run.stacks import Maps
from quant.search.patches import Positions
from quant.search.rounding import TERMS, correlations, output_errors


@dataclass(frozen=True, eq=False)
class Moments:
    """A layer and its inputs on calibration images.

    matrix: float64 (G, K, K), the damped H of `quant.search.rounding`; mean: float64 (G, K), of what each weight meets.
    Both are None of a layer of more than TERMS inputs.
    """

    layer: FloatConv
    matrix: np.ndarray | None
    mean: np.ndarray | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """The weights, float64 (G, O / G, K)."""
        layer = self.layer
        return layer.weight.astype(np.float64).reshape(layer.groups, len(layer.weight) // layer.groups, -1)

    @cached_property
    def second(self) -> np.ndarray:
        """The variance of each weight's input, float64 (G, 1, K); 1 where it is not known."""
        if self.matrix is None:
            return np.ones((self.layer.groups, 1, self.rows.shape[2]))
        return np.einsum("gkk->gk", self.matrix)[:, None, :]

    @cached_property
    def energy(self) -> float:
        """The variance of the layer's outputs, all together: what errors are compared with."""
        if self.matrix is None:
            return float((np.square(self.rows) * self.second).sum()) or 1.0
        return float(output_errors(self.rows, self.matrix).sum()) or 1.0


def moments(
    graph: FloatGraph, images: Images, names: Collection[str], progress: Progress | None = None
) -> Iterator[Moments]:
    """Convolutions of these names in order, a layer in memory at a time.  images: float32 (N, C, H, W)."""
    tensors: dict[str, Maps] = dict(by_input(graph.inputs, images))
    last = {name: index for index, layer in enumerate(graph.layers) for name in layer.inputs}
    for index, layer in enumerate(graph.layers):
        result = LayerRunner(graph, layer).stacked([tensors[name] for name in layer.inputs])
        if (conv := float_convolution(layer)) and conv.name in names:
            yield _moments(conv, tensors[conv.input], result)
        tensors[layer.output] = result
        for name in layer.inputs:
            if last[name] == index:
                tensors.pop(name, None)
        if progress:
            progress("inputs of layers", index + 1, len(graph.layers))


def _moments(layer: FloatConv, source: Maps, result: Maps) -> Moments:
    terms = layer.weight[0].size
    if terms > TERMS:
        return Moments(layer, None)
    patches = Positions.of(result, layer.groups * terms).patches(source, layer.window, layer.groups)
    mean = patches.mean(1, keepdims=True)
    matrix = correlations(patches - mean, layer.weight.shape[1] == 1)
    return Moments(layer, matrix, mean[:, 0].astype(np.float64))
