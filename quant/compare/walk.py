"""The float network layer by layer, and its outputs where one tensor is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.layer import FloatLayer
from quant.run.float_run import FloatRunner, LayerRunner, RestRunner
from quant.run.images import floats


@dataclass(frozen=True, eq=False)
class Visit:
    """One layer of a walk: which it is, and the float tensors (N, C, H, W) that it or a later layer reads.

    values: the layer's result before its clip.
    """

    index: int
    layer: FloatLayer
    tensors: Mapping[str, np.ndarray]
    values: np.ndarray


class Walk:
    """The float network over some images, layer by layer; holds the tensors that are still read, of all images.

    images: how many.  inputs: float32 (N, C, H, W) by name.  outputs: the network's, by name.  parts: batches of the
    images.
    """

    def __init__(self, graph: FloatGraph, images: Given) -> None:
        self.graph, self.images, self.inputs = graph, len(images), floats(graph, images)
        runner = FloatRunner(graph)
        self.parts, found = [], []
        for part, tensors in runner.run(images, graph.outputs):
            self.parts.append(part)
            found.append(tensors)
        self.outputs = {name: np.concatenate([tensors[name] for tensors in found]) for name in graph.outputs}

    def visits(self) -> Iterator[Visit]:
        """Every layer in execution order."""
        layers = self.graph.layers
        last = {name: place for place, layer in enumerate(layers) for name in layer.inputs}
        tensors = dict(self.inputs)
        for place, layer in enumerate(layers):
            values = LayerRunner(self.graph, layer.with_clip((None, None))).run(
                [tensors[name] for name in layer.inputs]
            )
            yield Visit(place, layer, tensors, values)
            clipped(layer, values, out=values)
            tensors[layer.output] = values
            tensors = {name: array for name, array in tensors.items() if last.get(name, -1) > place}


def clipped(layer: FloatLayer, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A layer's result after its clip."""
    clip = layer.clip
    return values if clip == (None, None) else np.clip(values, *clip, out=out)


def outputs_from(
    rest: RestRunner, changed: str, values: np.ndarray, tensors: Mapping[str, np.ndarray], part: slice
) -> dict[str, np.ndarray]:
    """The network's outputs where one tensor is changed; the changed tensor itself is among them.

    rest: the layers behind it.  values: float32 (n, C, H, W) in its place; tensors: the others of all images; part:
    which images.
    """
    given = {name: values if name == changed else tensors[name][part] for name in rest.inputs}
    return {changed: values} | rest.run(given)
