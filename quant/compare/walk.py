"""The float network layer by layer, and from any of its tensors on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from quant.compare.quantized import Operation
from quant.float_onnx import layers_model
from quant.float_run import FloatRunner
from quant.graph import FloatAdd, FloatConv, FloatGraph, FloatLayer, FloatPool
from quant.onnx_import.verify import session


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of a walk: which it is, and the float tensors (N, C, H, W) that it or a later layer reads.

    values: the layer's result before its clip.
    """

    index: int
    layer: FloatLayer
    tensors: Mapping[str, np.ndarray]
    values: np.ndarray


class Walk:
    """The float network over some images, layer by layer; holds the tensors that are still read, of all images.

    images: float32 (N, C, H, W).  outputs: the network's, by name.  parts: batches of the images.
    """

    def __init__(self, graph: FloatGraph, images: np.ndarray) -> None:
        self.graph, self.images = graph, np.ascontiguousarray(images, np.float32)
        runner = FloatRunner(graph)
        self.parts, found = [], []
        for part, tensors in runner.run(self.images, graph.outputs):
            self.parts.append(part)
            found.append(tensors)
        self.outputs = {name: np.concatenate([tensors[name] for tensors in found]) for name in graph.outputs}

    def steps(self) -> Iterator[Step]:
        """Every layer in execution order."""
        layers = self.graph.layers
        last = {name: place for place, layer in enumerate(layers) for name in layer.inputs}
        tensors = {self.graph.input: self.images}
        for place, layer in enumerate(layers):
            operation = Operation(self.graph, layer)
            values = np.empty((len(self.images), *self.graph.shapes[layer.output]), np.float32)
            for part in self.parts:
                values[part] = operation.run([tensors[name][part] for name in operation.inputs])
            yield Step(place, layer, tensors, values)
            clipped(layer, values, out=values)
            tensors[layer.output] = values
            tensors = {name: array for name, array in tensors.items() if last.get(name, -1) > place}


def clipped(layer: FloatLayer, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A layer's result after its clip."""
    if not isinstance(layer, FloatConv | FloatPool | FloatAdd) or layer.clip == (None, None):
        return values
    return np.clip(values, *layer.clip, out=out)


class Rest:
    """The float network behind one of its tensors.

    index: of the first layer that still has to run; changed: the tensor that is given in place of the float one.
    """

    def __init__(self, graph: FloatGraph, index: int, changed: str) -> None:
        layers = graph.layers[index:]
        written = {layer.output for layer in layers}
        read = dict.fromkeys(name for layer in layers for name in layer.inputs if name not in written)
        self.changed, self.beside = changed, tuple(name for name in read if name != changed)
        self.outputs = tuple(name for name in graph.outputs if name in written)
        self._session = session(layers_model(graph, layers, list(read), self.outputs), graph.name) if layers else None

    def run(self, values: np.ndarray, tensors: Mapping[str, np.ndarray], part: slice) -> dict[str, np.ndarray]:
        """The network's outputs that the changed tensor can reach.

        values: float32 (n, C, H, W) in place of the changed tensor; tensors: the others of all images; part: which.
        """
        found = {self.changed: values}
        if self._session is not None:
            feed = found | {name: tensors[name][part] for name in self.beside}
            wanted = {name.name for name in self._session.get_inputs()}
            feed = {name: array for name, array in feed.items() if name in wanted}
            found |= dict(zip(self.outputs, self._session.run(self.outputs, feed), strict=True))
        return found
