"""Into which layers a convolution is cut: their shapes, windows and names, and the graph with them in its place.

    channels          k x k to d', 1 x 1                 Zhang et al. 2015
    rows              k x 1 to d'', 1 x k                Jaderberg et al. 2014
    rows, channels    k x 1 to d'', 1 x k to d', 1 x 1   both: "asymmetric 3d" of Zhang et al.

The last one has the layer's name and output, and all that comes after its sums: bias, residual, clip.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer
from quant.ir.well_formed import well_formed
from quant.ir.window import Window
from quant.kinds.conv import FloatConv

SUFFIXES = ("low", "mid")


class Ranks(NamedTuple):
    """How many filters stand before the last layer; None: there is no such layer."""

    channels: int | None = None
    rows: int | None = None

    def __str__(self) -> str:
        found = [] if self.rows is None else [f"{self.rows} down"]
        return ", ".join(found + ([] if self.channels is None else [f"{self.channels}"]))


WHOLE = Ranks()
"""The layer as it is."""


def parts(layer: FloatConv, ranks: Ranks) -> list[tuple[Window, tuple[int, int, int, int]]]:
    """The window and the shape of the weights, (O, I, KH, KW), of each layer in order."""
    outputs, inputs = layer.weight.shape[:2]
    if ranks == WHOLE:
        return [(layer.window, layer.weight.shape)]
    found, window = [], layer.window
    if ranks.rows is not None:
        down, window = down_and_across(window)
        found.append((down, (ranks.rows, inputs, *down.kernel)))
        inputs = ranks.rows
    if ranks.channels is None:
        return [*found, (window, (outputs, inputs, *window.kernel))]
    found.append((window, (ranks.channels, inputs, *window.kernel)))
    return [*found, (Window(), (outputs, ranks.channels, 1, 1))]


def down_and_across(window: Window) -> tuple[Window, Window]:
    """A window as one of a single column, and then one of a single row: zeros around the map are zeros in between."""
    top, left, bottom, right = window.pads
    (kh, kw), (down, across), (dh, dw) = window.kernel, window.stride, window.dilation
    return (
        Window((kh, 1), (down, 1), (top, 0, bottom, 0), (dh, 1)),
        Window((1, kw), (1, across), (0, left, 0, right), (1, dw)),
    )


def chain(
    layer: FloatConv,
    ranks: Ranks,
    taken: Collection[str],
    weights: Sequence[np.ndarray] = (),
    bias: np.ndarray | None = None,
) -> tuple[FloatConv, ...]:
    """The layers in the place of one.

    taken: names that others have.  weights: of each, of as many elements as `parts` says; zeros by default.
    """
    cut = parts(layer, ranks)
    name, found, source = layer.name, [], layer.input
    for place, (window, shape) in enumerate(cut):
        values = np.zeros(shape, np.float32) if not len(weights) else weights[place].reshape(shape).astype(np.float32)
        last = place == len(cut) - 1
        made = replace(layer, input=source, weight=values, window=window)
        if last:
            made = replace(made, bias=layer.bias if bias is None else bias.astype(np.float32))
        else:
            suffix = SUFFIXES[place]
            name, output = (free(f"{text}.{suffix}", taken) for text in (layer.name, layer.output))
            zeros = np.zeros(shape[0], np.float32)
            made = replace(made, name=name, output=output, bias=zeros, residual=None, clip=(None, None))
        found.append(made)
        source = made.output
    return tuple(found)


def free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that nothing has."""
    while name in taken:
        name += "_"
    return name


def names(graph: FloatGraph) -> set[str]:
    """All names of layers and tensors."""
    return {*graph.shapes, *(layer.name for layer in graph.layers)}


def shapes_of(graph: FloatGraph, layers: Sequence[FloatConv]) -> dict[str, tuple[int, int, int]]:
    """The shapes of all tensors of a graph, and of those that such layers write."""
    found = dict(graph.shapes)
    for layer in layers:
        found[layer.output] = layer.output_shape(found)
    return found


def rewritten(graph: FloatGraph, chains: Mapping[str, Sequence[FloatConv]]) -> FloatGraph:
    """The graph with such layers in the places of those named."""
    layers: list[FloatLayer] = []
    shapes = graph.shapes
    for layer in graph.layers:
        layers += chains.get(layer.name, (layer,))
        shapes = shapes_of(replace(graph, shapes=shapes), chains.get(layer.name, ()))
    return well_formed(replace(graph, layers=tuple(layers), shapes=shapes))
