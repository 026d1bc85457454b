"""A network with some of its layers cut, each fitted to what the original makes of the same images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from quant.compress.low_rank.form import WHOLE, Ranks, chain, down_and_across, names, rewritten, shapes_of
from quant.compress.low_rank.solver import Responses, solve
from quant.compress.low_rank.spectrum import Spectrum, columns
from quant.ir.graph import FloatGraph
from quant.ir.inputs import by_input
from quant.ir.layer import Clip, FloatLayer
from quant.ir.window import Window
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress
from quant.run.float_run import LayerRunner
from quant.run.images import Images
from quant.run.stacks import Applied, Maps
from quant.search.patches import POSITIONS, Positions

Reconstruction = Literal["asymmetric", "symmetric", "linear"]
"""What a layer is fitted to: its response after the activation, to the input that it gets now; to the original
network's input; that, before the activation."""


VALUES = 4 << 20
"""Responses to which a layer is fitted at most, over all positions and channels."""


class Rewriting:
    """The walk from layer to layer, with the tensors of both networks that are still read.

    cut: ranks by layer.  spectra: of these layers.  left: layers that keep their weights in any case.
    graph: the original, which has the shapes of new tensors, too, once they are there.
    """

    def __init__(
        self,
        graph: FloatGraph,
        images: Images,
        cut: Mapping[str, Ranks],
        spectra: Mapping[str, Spectrum],
        reconstruction: Reconstruction = "asymmetric",
        left: Collection[str] = (),
    ) -> None:
        self.graph, self.cut, self.spectra, self.left = graph, cut, spectra, left
        self.reconstruction, self.taken = reconstruction, names(graph)
        self.original: dict[str, Maps] = dict(by_input(graph.inputs, images))
        self.now: dict[str, Maps] = dict(by_input(graph.inputs, images))
        self.chains: dict[str, tuple[FloatConv, ...]] = {}

    def run(self, progress: Progress | None = None) -> FloatGraph:
        """The graph with what was found."""
        layers = self.graph.layers
        last = {name: index for index, layer in enumerate(layers) for name in layer.inputs}
        for index, layer in enumerate(layers):
            self._step(layer)
            for name in layer.inputs:
                if last[name] == index:
                    self.original.pop(name, None)
                    self.now.pop(name, None)
            if progress:
                progress("low rank", index + 1, len(layers))
        return rewritten(self.graph, self.chains)

    def _step(self, layer: FloatLayer) -> None:
        sums = self._run(layer.with_clip((None, None)), self.original)
        same = all(self.now[name] is self.original[name] for name in layer.inputs)
        conv = float_convolution(layer)
        if conv and (conv.name in self.cut or (not same and self._mended(conv))):
            self.chains[conv.name] = self._fitted(conv, sums)
        self.original[layer.output] = clipped(sums, layer.clip)
        if same and layer.name not in self.chains:
            self.now[layer.output] = self.original[layer.output]
            return
        tensors = dict(self.now)
        parts = self.chains.get(layer.name, (layer,))
        for part in parts:
            tensors[part.output] = self._run(part, tensors)
        self.now[layer.output] = tensors[layer.output]

    def _mended(self, layer: FloatConv) -> bool:
        """Whether a layer that is not cut makes good what those before it lost."""
        return self.reconstruction == "asymmetric" and layer.groups == 1 and layer.name not in self.left

    def _run(self, layer: FloatLayer, tensors: Mapping[str, Maps]) -> Maps:
        return LayerRunner(self.graph, layer).stacked([tensors[name] for name in layer.inputs])

    def _fitted(self, layer: FloatConv, sums: Maps) -> tuple[FloatConv, ...]:
        """What stands in a layer's place.  sums: of the original, (N, O, H, W), before its clip."""
        ranks, outputs = self.cut.get(layer.name, WHOLE), len(layer.weight)
        first, window, prior = self._first(layer, ranks)
        self.graph = replace(self.graph, shapes=shapes_of(self.graph, [first]))
        tensors = self.now if self.reconstruction == "asymmetric" else self.original
        positions = Positions.of(sums, prior.shape[1] + outputs, min(POSITIONS, VALUES // outputs))
        responses = Responses(
            positions.patches(self._run(first, tensors), window, 1)[0],
            positions.take(sums),
            0.0 if layer.residual is None else positions.take(tensors[layer.residual]),
            layer.clip,
        )
        found = solve(responses, ranks.channels or outputs, prior, self.reconstruction != "linear")
        own = first.weight.reshape(len(first.weight), -1).astype(np.float64)
        weights = [found.right @ own, found.left] if ranks.rows is None else [own, found.right, found.left]
        if ranks.channels is None:
            *weights, inner, outer = weights
            weights.append(outer @ inner)
        made = chain(layer, ranks, self.taken, weights, found.bias)
        self.graph = replace(self.graph, shapes=shapes_of(self.graph, made))
        return made

    def _first(self, layer: FloatConv, ranks: Ranks) -> tuple[FloatConv, Window, np.ndarray]:
        """The layer whose responses are the features, the window that sees them, and the fit that changes nothing.

        Where kernels stay whole, that is the layer itself; else the column of taps.
        """
        outputs = len(layer.weight)
        if ranks.rows is None:
            own = replace(layer, bias=np.zeros_like(layer.bias), residual=None, clip=(None, None))
            return own, Window(), np.eye(outputs)
        axes = self.spectra[layer.name].axes[:, : ranks.rows]
        down, across = down_and_across(layer.window)
        weight = (axes.T @ columns(layer.weight.astype(np.float64))).reshape(-1, layer.weight.shape[1], *down.kernel)
        own = replace(chain(layer, ranks, self.taken)[0], weight=weight.astype(np.float32))
        return own, across, axes.reshape(outputs, -1, ranks.rows).swapaxes(1, 2).reshape(outputs, -1)


def clipped(sums: Maps, clip: Clip) -> Maps:
    """A tensor after a clip."""
    low, high = clip
    return sums if clip == (None, None) else Applied(sums, lambda values: np.clip(values, low, high))
