"""Weights and biases of a network that has lost channels, solved for against the network that has them.

Layer after layer, each from the input that the layers before it really leave: the weights for which the sums come
nearest to those of the whole network, what it adds as a residual taken off: least squares (He et al. 2017), drawn to
the weights that were there as far as the inputs are not known (`quant.search.rounding.correlations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.inputs import by_input
from quant.ir.well_formed import well_formed
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress
from quant.run.float_run import LayerRunner
from quant.run.images import Images
from quant.run.stacks import Maps
from quant.search.patches import Positions
from quant.search.rounding import TERMS, correlations


def refitted(
    small: FloatGraph,
    graph: FloatGraph,
    kept: Mapping[str, np.ndarray],
    images: Images,
    progress: Progress | None = None,
) -> FloatGraph:
    """The smaller network with other weights and biases, where anything before them has changed.

    small: `quant.rewrite.channels.thinned` of the graph, with its layers one for one; kept: the channels that it has.
    images: float32 (N, C, H, W).  Layers of more than TERMS inputs get another bias alone.
    """
    ours: dict[str, Maps] = dict(by_input(small.inputs, images))
    theirs: dict[str, Maps] = dict(by_input(graph.inputs, images))
    last = {name: index for index, layer in enumerate(graph.layers) for name in layer.inputs}
    changed: set[str] = set()
    layers = []
    for index, (layer, whole) in enumerate(zip(small.layers, graph.layers, strict=True)):
        lost = any(len(kept[name]) < graph.shapes[name][0] for name in layer.inputs)
        if lost or changed.intersection(layer.inputs):
            changed.add(layer.output)
            whole_conv, conv = float_convolution(whole), float_convolution(layer)
            if conv is not None and whole_conv is not None:
                bare = replace(whole_conv, clip=(None, None))
                sums = LayerRunner(graph, bare).stacked([theirs[name] for name in whole.inputs])
                layer = _fitted(conv, ours, sums, kept[layer.output])
        layers.append(layer)
        theirs[whole.output] = LayerRunner(graph, whole).stacked([theirs[name] for name in whole.inputs])
        ours[layer.output] = LayerRunner(small, layer).stacked([ours[name] for name in layer.inputs])
        for name in layer.inputs:
            if last[name] == index:
                ours.pop(name, None)
                theirs.pop(name, None)
        if progress:
            progress("weights that stay", index + 1, len(graph.layers))
    return well_formed(replace(small, layers=tuple(layers)))


def _fitted(layer: FloatConv, tensors: Mapping[str, Maps], sums: Maps, channels: np.ndarray) -> FloatConv:
    """sums: what the whole layer gives before its clip, of which the layer has these channels."""
    groups, terms = layer.groups, layer.weight[0].size
    positions = Positions.of(sums, groups * terms)
    wanted = positions.take(sums)[:, channels].astype(np.float64)
    for name in layer.added:
        wanted -= positions.take(tensors[name])
    target = np.ascontiguousarray(wanted.reshape(len(wanted), groups, -1).swapaxes(0, 1))  # (G, R, O / G)
    patches = positions.patches(tensors[layer.input], layer.window, groups)
    mean, level = patches.mean(1, keepdims=True, dtype=np.float64), target.mean(1, keepdims=True)
    weight = layer.weight.astype(np.float64).reshape(groups, -1, terms)
    if terms <= TERMS:
        patches -= mean.astype(np.float32)
        missing = (target - level).astype(np.float32) - np.matmul(patches, weight.astype(np.float32).swapaxes(1, 2))
        matrix = correlations(patches, layer.weight.shape[1] == 1)
        moment = np.matmul(patches.swapaxes(1, 2), missing).astype(np.float64) / len(wanted)
        weight = weight + np.linalg.solve(matrix, moment).swapaxes(1, 2)
    bias = (level - np.matmul(mean, weight.swapaxes(1, 2))).reshape(-1)
    return replace(layer, weight=weight.reshape(layer.weight.shape).astype(np.float32), bias=bias.astype(np.float32))
