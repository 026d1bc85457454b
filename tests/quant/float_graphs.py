"""Float graphs for the tests of the search and of comparisons, and images for them."""

from __future__ import annotations

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.layer import Clip, FloatLayer
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool

SAME = Window((3, 3), pads=(1, 1, 1, 1))
RELU: Clip = (0, None)


class Builder:
    """Makes a float graph; each method appends a layer and returns the name of its output."""

    def __init__(self, seed: int, channels: int = 3, size: int = 12) -> None:
        self.random = np.random.default_rng(seed)
        self.layers: list[FloatLayer] = []
        self.shapes = {"x": (channels, size, size)}

    def _add(self, layer: FloatLayer, channels: int, window: Window | None = None) -> str:
        height, width = self.shapes[layer.inputs[0]][1:]
        self.layers.append(layer)
        self.shapes[layer.output] = (channels, *(window.output_size(height, width) if window else (height, width)))
        return layer.output

    def conv(
        self,
        name: str,
        source: str,
        outputs: int,
        window: Window = SAME,
        clip: Clip = RELU,
        residual: str | None = None,
        groups: int = 1,
        gain: float | np.ndarray = 1.0,
    ) -> str:
        """gain: a factor on the weights, one or one per output channel."""
        fan_in = self.shapes[source][0] // groups
        scale = (fan_in * window.kernel[0] * window.kernel[1] / 2) ** -0.5
        weight = self.random.normal(0, scale, (outputs, fan_in, *window.kernel))
        weight = (weight * np.broadcast_to(gain, outputs)[:, None, None, None]).astype(np.float32)
        bias = self.random.normal(0, 0.2, outputs).astype(np.float32)
        return self._add(
            FloatConv(name, source, f"{name}.y", weight, bias, window, groups, clip, residual), outputs, window
        )

    def pool(self, name: str, source: str, kind: str, window: Window, clip: Clip = (None, None)) -> str:
        layer = FloatPool(name, source, f"{name}.y", kind, window, clip)  # type: ignore[arg-type]
        return self._add(layer, self.shapes[source][0], window)

    def add(self, name: str, first: str, second: str, clip: Clip = RELU) -> str:
        return self._add(FloatAdd(name, (first, second), f"{name}.y", clip), self.shapes[first][0])

    def concat(self, name: str, *sources: str) -> str:
        return self._add(Concat(name, sources, f"{name}.y"), sum(self.shapes[s][0] for s in sources))

    def graph(self, *outputs: str, name: str = "net", **fields) -> FloatGraph:
        return FloatGraph(name, tuple(self.layers), self.shapes, ("x",), outputs, **fields)


def images(count: int, channels: int = 3, size: int = 12, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, channels, size, size)).astype(np.float32)


def branches(seed: int = 0, **fields) -> FloatGraph:
    """Everything at once: a residual, a concatenation, poolings, a depthwise and a fully connected layer."""
    net = Builder(seed)
    stem = net.conv("stem", "x", 8)
    body = net.conv("body", stem, 8)
    joined = net.conv("joined", body, 8, residual=stem)
    left = net.conv("left", joined, 4, Window(), clip=(0, 6))
    right = net.conv("right", joined, 8, groups=8)
    cat = net.concat("cat", left, right)
    half = net.pool("half", cat, "max", Window((3, 3), (2, 2), (0, 0, 1, 1)))
    signed = net.conv("signed", half, 12, Window(), clip=(None, None))
    added = net.add("added", signed, half)
    mean = net.pool("mean", added, "average", Window((6, 6)))
    return net.graph(net.conv("fc", mean, 10, Window(), clip=(None, None)), **fields)
