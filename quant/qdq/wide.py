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

from quant.ir.bounds import accumulator_bound, tensor_bounds
from quant.ir.fixedpoint import FLOAT32_EXACT
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.qdq.read import load


def beyond_float32(network: Network) -> tuple[str, ...]:
    """The names of the layers of which it is not proved that float32 computes them exactly, whatever the input.

    A sum is exact in any order where no partial sum can exceed 2**24 units.  An average also divides, once,
    correctly rounded: let the sum S be an integer and n the count, and let the output's unit be 2**k of the
    input's.  A tie of the output's rounding is an odd multiple of 2**(k - 1), which float32 represents; S / n
    is a tie or at least 2**min(k, 0) / (2 n) from it, and division moves it by at most |S / n| / 2**24.  So
    with |S| * 2**max(-k, 0) < 2**23 the quotient stays on its side of every tie and only a tie becomes one.
    Sums whose average saturates need no more than that the order of quotients is kept.
    """
    bounds = tensor_bounds(network)
    names = []
    for layer in network.layers:
        reach = accumulator_bound(network, layer, bounds).magnitude
        exact = reach <= FLOAT32_EXACT
        if isinstance(layer, Pool) and layer.kind == "average":
            fmt = network.tensors[layer.output].fmt
            k = network.tensors[layer.input].fmt.frac - fmt.frac
            count = layer.window.kernel[0] * layer.window.kernel[1]
            saturated = (max(-fmt.low, fmt.high) + 1) * count << max(k, 0)
            exact = exact and min(reach << max(-k, 0), saturated) < FLOAT32_EXACT // 2
        if not exact:
            names.append(layer.name)
    return tuple(names)


def widen(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Make a quantized model compute the named layers in float64, up to their rounding.

    Raises ValueError for a name that is none of a convolution, fully connected layer, addition or average.
    """
    network = load(model)
    known = {node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Add", "AveragePool")}
    for name in layers:
        if name not in known:
            raise ValueError(f"no layer that sums is called {name}")
    widener = _Widener(network, model.graph)
    for node in model.graph.node:
        widener.convert(node, node.name in layers)
    del model.graph.node[:]
    model.graph.node.extend(widener.nodes)


class _Widener:
    """Collects the nodes of the new graph.  `wide`: tensors that are float64 now."""

    def __init__(self, network: Network, graph: onnx.GraphProto) -> None:
        self.network, self.graph = network, graph
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

    def double(self, tensor: str) -> str:
        """The tensor as float64."""
        if tensor in self.wide:
            return tensor
        if tensor not in self.casts:
            self.casts[tensor] = self.node("Cast", [tensor], f"{tensor}_double", to=TensorProto.DOUBLE)
        return self.casts[tensor]

    def convert(self, node: onnx.NodeProto, chosen: bool) -> None:
        """Append a node, or what takes its place where it is chosen or reads float64."""
        reads_wide = any(tensor in self.wide for tensor in node.input)
        layer = self.layers.get(node.name)
        if chosen and isinstance(layer, Conv) and node.op_type == "Conv":
            self.wide.add(self.convolution(node, layer))
            return
        if chosen and isinstance(layer, Pool) and node.op_type == "AveragePool":
            self.wide.add(self.average(node, layer))
            return
        new = onnx.NodeProto()
        new.CopyFrom(node)
        if node.op_type == "QuantizeLinear" and reads_wide:
            new.input[0] = self.rounded(node)
        elif (chosen or reads_wide) and node.op_type in ("Gemm", "Add", "Relu", "Clip"):
            new.input[:] = [tensor and self.double(tensor) for tensor in node.input]
            if node.op_type == "Gemm" and len(node.input) > 2:
                new.input[2] = self.bias(node)
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

    def bias(self, node: onnx.NodeProto) -> str:
        """The bias as float64, from its integers: float32 does not hold all of int32."""
        dequantize = self.producers[node.input[2]]
        factors = [self.double(tensor) for tensor in dequantize.input[:2]]
        return self.node("Mul", factors, f"{node.output[0]}_bias")

    def shaped(self, tensor: str, name: str, *shape: int) -> str:
        return self.node("Reshape", [tensor, self.constant(f"{name}_shape", np.array(shape, np.int64))], name)

    def windows(self, node: onnx.NodeProto, layer: Conv | Pool) -> str:
        """The input's windows as float64 (N, C, KH * KW, OH * OW), zeros in the padding."""
        name, (channels, height, width) = node.output[0], self.network.tensors[layer.input].shape
        top, left, bottom, right = layer.window.pads
        pads = self.constant(f"{name}_pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        padded = self.node("Pad", [self.double(node.input[0]), pads], f"{name}_padded")
        places = self.constant(f"{name}_places", window_places(layer.window, height, width))
        return self.node("Gather", [self.shaped(padded, f"{name}_flat", 0, channels, -1), places],
                         f"{name}_windows", axis=2)  # fmt: skip

    def convolution(self, node: onnx.NodeProto, layer: Conv) -> str:
        """The matrix product that a Conv is.  Returns the name of its result, the Conv's own."""
        name, outputs = node.output[0], len(layer.weight)
        height, width = self.network.tensors[layer.output].shape[1:]
        terms = layer.weight[0].size
        columns = self.shaped(self.windows(node, layer), f"{name}_columns", 0, layer.groups, terms, height * width)
        weight = self.double(node.input[1])
        weight = self.shaped(weight, f"{name}_weight", layer.groups, outputs // layer.groups, terms)
        product = self.node("MatMul", [weight, columns], f"{name}_product")
        if len(node.input) < 3:
            return self.shaped(product, name, 0, outputs, height, width)
        product = self.shaped(product, f"{name}_unbiased", 0, outputs, height, width)
        return self.node("Add", [product, self.shaped(self.bias(node), f"{name}_offset", outputs, 1, 1)], name)

    def average(self, node: onnx.NodeProto, layer: Pool) -> str:
        """The sum of each window over its number of elements.  Returns the name of its result, the pool's own."""
        name, shape = node.output[0], self.network.tensors[layer.output].shape
        height, width = self.network.tensors[layer.input].shape[1:]
        top, left, bottom, right = layer.window.pads
        inside = np.pad(
            np.ones((height, width)), ((top, bottom), (left, right)), constant_values=layer.count_include_pad
        )
        counts = inside.reshape(-1)[window_places(layer.window, height, width)].sum(0)
        axes = self.constant(f"{name}_axes", np.array([2], np.int64))
        total = self.node("ReduceSum", [self.windows(node, layer), axes], f"{name}_sum", keepdims=0)
        mean = self.node("Div", [total, self.constant(f"{name}_counts", counts)], f"{name}_mean")
        return self.shaped(mean, name, 0, *shape)


def window_places(window: Window, height: int, width: int) -> np.ndarray:
    """Where each kernel element of each output pixel lies in the flattened padded map, int64 (KH * KW, OH * OW)."""
    _, left, _, right = window.pads
    rows, columns = window.output_size(height, width)
    y = np.arange(window.kernel[0])[:, None] * window.dilation[0] + np.arange(rows) * window.stride[0]
    x = np.arange(window.kernel[1])[:, None] * window.dilation[1] + np.arange(columns) * window.stride[1]
    places = y[:, None, :, None] * (left + width + right) + x[None, :, None, :]
    return places.reshape(window.kernel[0] * window.kernel[1], rows * columns).astype(np.int64)
