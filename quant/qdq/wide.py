"""Layers whose sums exceed what float32 counts exactly, run in ONNX Runtime in float64 instead.

ONNX Runtime has no float64 convolution and average pool, so these become what they are: a matrix product of
the weight and the input's windows, gathered into columns; the sum of each window over its number of elements.
Nothing else of the file changes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.ir.bounds import tensor_bounds
from quant.ir.network import Network
from quant.ir.tensor import Shape
from quant.ir.window import Window
from quant.ir.writing import WideNodes
from quant.qdq.read import load

DOUBLE = ("Gemm", "Add", "Mul", "Relu", "Clip")
"""Operators that ONNX Runtime has in float64."""

SUMS = ("Conv", "AveragePool", "Gemm", "Add", "Mul")
"""Operators whose results can exceed what float32 counts."""


def beyond_float32(network: Network) -> tuple[str, ...]:
    """The names of the layers of which it is not proved that float32 computes them exactly, whatever the input."""
    bounds = tensor_bounds(network)
    return tuple(layer.name for layer in network.layers if not layer.exact_in_float32(network.tensors, bounds))


def widen(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Make a quantized model compute the named layers in float64, up to their rounding.

    Raises ValueError for a name that is none of a convolution, fully connected layer, addition, product or average.
    """
    network = load(model)
    known = {node.name for node in model.graph.node if node.op_type in SUMS}
    for name in layers:
        if name not in known:
            raise ValueError(f"no layer that sums is called {name}")
    widener = _Widener(network, model.graph)
    for node in model.graph.node:
        widener.convert(node, node.name in layers)
    del model.graph.node[:]
    model.graph.node.extend(widener.nodes)


class _Widener(WideNodes):
    """Collects the nodes of the new graph.  `wide`: names of the file that are float64 now."""

    def __init__(self, network: Network, graph: onnx.GraphProto) -> None:
        self.tensors, self.graph = network.tensors, graph
        self.layers = {layer.name: layer for layer in network.layers}
        self.producers = {output: node for node in graph.node for output in node.output}
        self.nodes: list[onnx.NodeProto] = []
        self.wide: set[str] = set()
        self.casts: dict[str, str] = {}

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, name: str, array: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def double(self, name: str) -> str:
        if name in self.wide:
            return name
        if name not in self.casts:
            self.casts[name] = self.node("Cast", [name], f"{name}_double", to=TensorProto.DOUBLE)
        return self.casts[name]

    def convert(self, node: onnx.NodeProto, chosen: bool) -> None:
        """Append a node, or what takes its place where it is chosen or reads float64."""
        reads_wide = any(tensor in self.wide for tensor in node.input)
        layer = self.layers.get(node.name)
        if chosen and layer is not None and layer.write_wide(self, list(node.input), node.output[0]):
            self.wide.add(node.output[0])
            return
        new = onnx.NodeProto()
        new.CopyFrom(node)
        if node.op_type == "QuantizeLinear" and reads_wide:
            new.input[0] = self.rounded(node)
        elif (chosen or reads_wide) and node.op_type in DOUBLE:
            new.input[:] = [tensor and self.double(tensor) for tensor in node.input]
            if node.op_type == "Gemm" and len(node.input) > 2:
                new.input[2] = self.bias(node.input[2], node.output[0])
            self.wide.add(node.output[0])
        self.nodes.append(new)

    def rounded(self, quantize: onnx.NodeProto) -> str:
        """float32 for a QuantizeLinear that finds its rounding done: half to even, in float64."""
        name = quantize.output[0]
        scale = self.double(quantize.input[1])
        units = self.node("Div", [quantize.input[0], scale], f"{name}_units")
        whole = self.node("Round", [units], f"{name}_whole")
        real = self.node("Mul", [whole, scale], f"{name}_real")
        return self.node("Cast", [real], f"{name}_float", to=TensorProto.FLOAT)

    def bias(self, name: str, output: str) -> str:
        """float32 does not hold all of int32, so the integers are scaled again."""
        factors = [self.double(tensor) for tensor in self.producers[name].input[:2]]
        return self.node("Mul", factors, f"{output}_bias")

    def shaped(self, name: str, output: str, *shape: int) -> str:
        return self.node("Reshape", [name, self.constant(f"{output}_shape", np.array(shape, np.int64))], output)

    def windows(self, name: str, output: str, shape: Shape, window: Window) -> str:
        channels, height, width = shape
        top, left, bottom, right = window.pads
        pads = self.constant(f"{output}_pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        padded = self.node("Pad", [self.double(name), pads], f"{output}_padded")
        places = self.constant(f"{output}_places", window_places(window, height, width))
        flat = self.shaped(padded, f"{output}_flat", 0, channels, -1)
        return self.node("Gather", [flat, places], f"{output}_windows", axis=2)


def window_places(window: Window, height: int, width: int) -> np.ndarray:
    """Where each kernel element of each output pixel lies in the flattened padded map, int64 (KH * KW, OH * OW)."""
    _, left, _, right = window.pads
    rows, columns = window.output_size(height, width)
    y = np.arange(window.kernel[0])[:, None] * window.dilation[0] + np.arange(rows) * window.stride[0]
    x = np.arange(window.kernel[1])[:, None] * window.dilation[1] + np.arange(columns) * window.stride[1]
    places = y[:, None, :, None] * (left + width + right) + x[None, :, None, :]
    return places.reshape(window.kernel[0] * window.kernel[1], rows * columns).astype(np.int64)
