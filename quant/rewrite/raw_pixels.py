"""Preprocessing folded into the network, so that it takes the pixels as a camera gives them: 0 to 255, in RGB.

A network takes x = (pixel - mean) * scale, as its metadata say (`quant.run.images.Preprocess`).  Both are linear, so
the first convolutions can do it: weight * scale, and bias - weight * scale * mean; BGR is another order of their
input channels.  Where a convolution pads, its zeros stand for x = 0, a pixel equal to the mean: a `ConstantPad`
surrounds the pixels with that.  Where the first layers are no such convolutions, or the mean is no pixel, a layer
`normalize`, a depthwise 1x1 convolution, comes first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer
from quant.ir.well_formed import well_formed
from quant.ir.window import Window
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import FloatConv
from quant.kinds.padding import Pads
from quant.run.images import RAW, Preprocess

__all__ = ["NORMALIZE", "PADDING", "RAW", "like", "take_pixels"]

NORMALIZE = "normalize"
"""Name of the layer that comes first where nothing else can do it, and of its tensor."""

PADDING = "padding"
"""Name of the layer that surrounds the pixels with their means, and of its tensor."""

PIXELS = (0, 255)
"""The least and the greatest pixel."""


def take_pixels(graph: FloatGraph) -> FloatGraph:
    """The network on raw pixels: equal to `graph` on preprocessed ones, but for float rounding.

    Its input has the same name and shape, and holds integers from 0 to 255, planes in RGB or gray.  Its metadata
    say so: preprocess.mean 0, preprocess.scale 1, and under RAW, as JSON, what was folded.
    Raises BadInput where the metadata do not say how images are preprocessed, or for another number of planes.
    """
    if RAW in graph.metadata:
        return graph
    preprocess = Preprocess.of(graph.metadata)
    if preprocess is None:
        raise BadInput(
            f"{graph.name}: its metadata have no preprocess.channels (RGB, BGR or gray), .mean and .scale: nobody "
            "knows what to fold"
        )
    if len(graph.inputs) > 1:
        raise BadInput(f"{graph.name}: raw pixels are for networks of one input, this one has {len(graph.inputs)}")
    [pixels] = graph.inputs
    planes = graph.shapes[pixels][0]
    if len(preprocess.mean) != planes:
        text = f"metadata preprocess.channels is {preprocess.channels!r}"
        raise BadInput(f"{graph.name}: {text}, but the network takes {planes} planes")
    turned = preprocess.channels == "BGR"
    order = slice(None, None, -1) if turned else slice(None)
    scale = np.array(preprocess.scale)[order]
    shift = -np.array(preprocess.mean)[order] * scale
    graph = replace(graph, metadata=graph.metadata | described(preprocess))
    readers = [layer for layer in graph.layers if pixels in layer.inputs]
    dense = all(takes(layer, pixels, planes) for layer in readers)
    source = {tensor: name for tensor, name in graph.source.items() if tensor != pixels}
    graph = replace(graph, source=source)
    folded: dict[str, FloatLayer] = {}
    pads: dict[Pads, ConstantPad] = {}
    for layer in readers:
        found = None
        if dense:
            turned_back = reordered(layer, turned, planes)
            found = turned_back.of_scaled(scale, shift) or padded(graph, turned_back, scale, shift, pads)
        if found is None:
            return well_formed(normalized(graph, scale, shift, turned, dense))
        folded[layer.name] = found
    around = {pad.output: pad.output_shape(graph.shapes) for pad in pads.values()}
    layers = (*pads.values(), *(folded.get(layer.name, layer) for layer in graph.layers))
    return well_formed(replace(graph, layers=layers, shapes=graph.shapes | around))


def like(graph: FloatGraph, metadata: Mapping[str, str]) -> FloatGraph:
    """The float graph on the same images as a network with these metadata: on raw pixels if that takes them."""
    return take_pixels(graph) if RAW in metadata else graph


def described(preprocess: Preprocess) -> dict[str, str]:
    """The metadata of a network into which this was folded."""
    folded = {"channels": preprocess.channels, "mean": preprocess.mean, "scale": preprocess.scale}
    return {
        "preprocess.channels": "gray" if preprocess.channels == "gray" else "RGB",
        "preprocess.mean": "0",
        "preprocess.scale": "1",
        RAW: json.dumps(folded),
    }


def padded(
    graph: FloatGraph, layer: FloatLayer, scale: np.ndarray, shift: np.ndarray, pads: dict[Pads, ConstantPad]
) -> FloatLayer | None:
    """A layer that surrounds its input with zeros, as it is of raw pixels with what becomes zero around them.

    pads: of the pixels, by how many rows and columns; a new one is entered.  None for a layer that does not pad, and
    where what becomes zero is no pixel.
    """
    apart, low = layer.unpadded(), PIXELS[0] * scale + shift
    if apart is None or (scale == 0).any() or (low * (PIXELS[1] * scale + shift) > 0).any():
        return None
    bare, around = apart
    found = bare.of_scaled(scale, shift)
    if found is None:
        return None
    [pixels] = graph.inputs
    if around not in pads:
        name = fresh(graph, f"{PADDING}{len(pads) or ''}")
        pads[around] = ConstantPad(name, pixels, name, around, (-shift / scale).astype(np.float32))
    return found.renamed({pixels: pads[around].output})


def fresh(graph: FloatGraph, name: str) -> str:
    """A name that neither a tensor nor a layer has."""
    while name in graph.shapes or any(layer.name == name for layer in graph.layers):
        name += "_"
    return name


def takes(layer: FloatLayer, source: str, planes: int) -> bool:
    """Whether a layer's weights can take the `planes` channels of `source` in any order."""
    return layer.reads_first(source) and layer.of_channels(np.arange(planes), planes) is not None


def reordered(layer: FloatLayer, turned: bool, planes: int) -> FloatLayer:
    """The layer with its input channels in the opposite order, if `turned`; one that `takes` them."""
    found = layer.of_channels(np.arange(planes)[::-1], planes) if turned else layer
    assert found is not None
    return found


def normalized(graph: FloatGraph, scale: np.ndarray, shift: np.ndarray, turned: bool, dense: bool) -> FloatGraph:
    """The network behind a layer that normalizes.

    scale, shift: (C,) of the pixels' planes.  turned: the network takes the planes in the opposite order; the
    weights of its first layers do that where they are `dense`, else this layer.
    """
    [pixels] = graph.inputs
    planes, height, width = graph.shapes[pixels]
    name = fresh(graph, NORMALIZE)
    here = turned and not dense
    if here:
        weight, groups = np.diag(scale)[::-1, :, None, None], 1
    else:
        weight, groups = scale[:, None, None, None], planes
    first = FloatConv(
        name,
        pixels,
        name,
        np.ascontiguousarray(weight, np.float32),
        (shift[::-1] if here else shift).astype(np.float32),
        Window(),
        groups,
    )
    places = np.arange(planes * height * width).reshape(planes, height, width)
    own = graph.places.get(pixels)
    if turned and dense:  # each plane of the file's input is found in the opposite place
        own = places[::-1].reshape(-1)[places if own is None else own]
    layers = [rewired(layer, pixels, name, turned and dense, planes) for layer in graph.layers]
    return replace(
        graph,
        layers=(first, *layers),
        shapes=graph.shapes | {name: graph.shapes[pixels]},
        source=graph.source | {name: pixels},
        places=graph.places | ({} if own is None else {name: own}),
    )


def rewired(layer: FloatLayer, old: str, new: str, turned: bool, planes: int) -> FloatLayer:
    """The layer reading the tensor `new` for `old`, its channels in the opposite order if `turned`."""
    return reordered(layer, turned and old in layer.inputs, planes).renamed({old: new})
