"""The float network run in ONNX Runtime: every tensor of it, one layer, or all from some layer on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer
from quant.onnx_file.weights import Beside
from quant.run.float_onnx import float_model, layers_model
from quant.run.images import Images, floats
from quant.run.session import Session
from quant.run.stacks import Maps, Stack, stack

BATCH_BYTES = 128 << 20
"""Images are taken in batches whose tensors together need about this much memory."""

LAYER_BYTES = 32 << 20
"""The same where one layer runs alone."""


class FloatRunner:
    """A float graph in ONNX Runtime.  Raises BadInput where ONNX Runtime refuses it."""

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        beside: Beside = {}
        self._session = Session(float_model(graph, beside), graph.name, beside=beside)
        elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
        self.batch = max(1, BATCH_BYTES // (4 * elements))

    def run(self, images: Images, keep: tuple[str, ...] | None = None) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """All tensors, the inputs among them, of one batch of images after another.

        images: float32 (N, C, H, W).  keep: names of the tensors to compute, all when None.
        Yields which images, and float32 (n, C, H, W) by name.
        """
        names = [layer.output for layer in self.graph.layers if keep is None or layer.output in keep]
        for start in range(0, len(images), self.batch):
            part = slice(start, min(start + self.batch, len(images)))
            feed = floats(self.graph, images[part])
            tensors = dict(zip(names, self._session.run(names, feed), strict=True))
            yield part, tensors | {name: array for name, array in feed.items() if keep is None or name in keep}


class LayerRunner:
    """One float layer in ONNX Runtime.

    layer: of the graph, or another with the same tensors.  inputs: the names of the tensors that it reads, in order.
    """

    def __init__(self, graph: FloatGraph, layer: FloatLayer) -> None:
        self.inputs = layer.inputs
        self._shape = graph.shapes[layer.output]
        read = tuple(dict.fromkeys(layer.inputs))
        beside: Beside = {}
        model = layers_model(graph, [layer], read, [layer.output], beside)
        self._session = Session(model, layer.name, beside=beside)
        sizes = [int(np.prod(graph.shapes[name])) for name in (*read, layer.output)]
        self.batch = max(1, LAYER_BYTES // (4 * sum(sizes)))

    def run(self, inputs: Sequence[Maps]) -> np.ndarray:
        """The layer's result, float32 (N, C, H, W).  inputs: float32 (N, C, H, W) for each of `self.inputs`."""
        out = np.empty((len(inputs[0]), *self._shape), np.float32)
        self.write(inputs, out)
        return out

    def stacked(self, inputs: Sequence[Maps]) -> np.ndarray | Stack:
        """As `run`, into a file where the result is large."""
        out = stack((len(inputs[0]), *self._shape), np.dtype(np.float32))
        self.write(inputs, out)
        return out

    def write(self, inputs: Sequence[Maps], out: np.ndarray | Stack) -> None:
        """As `run`, into an array."""
        given = dict(zip(self.inputs, inputs, strict=True))
        for start in range(0, len(out), self.batch):
            part = slice(start, start + self.batch)
            out[part] = self._session.run(None, {name: array[part] for name, array in given.items()})[0]


class RestRunner:
    """A float graph from one of its layers on, in ONNX Runtime.

    index: of the first layer that runs; len(graph.layers) for none.  inputs: the names of the tensors that these
    layers read of those before them; outputs: of the network's outputs that they write.
    """

    def __init__(self, graph: FloatGraph, index: int) -> None:
        layers = graph.layers[index:]
        written = {layer.output for layer in layers}
        read = dict.fromkeys(name for layer in layers for name in layer.inputs if name not in written)
        self.inputs = tuple(read)
        self.outputs = tuple(name for name in graph.outputs if name in written)
        beside: Beside = {}
        model = layers_model(graph, layers, self.inputs, self.outputs, beside)
        self._session = Session(model, graph.name, beside=beside) if self.outputs else None

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`self.outputs` by name, all images at once: float32 (N, C, H, W).

        tensors: float32 (N, C, H, W) by name, all of `self.inputs` among them.
        """
        if self._session is None:
            return {}
        found = self._session.run(self.outputs, {name: tensors[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))
