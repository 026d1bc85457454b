"""Layers of an integer network as float32 ONNX operators that ONNX Runtime, optimizations and all, computes exactly.

A tensor's integers stand as float32.  With the weights of a convolution multiplied by 2**-shift, which is exact,
every partial sum is a multiple of 2**-shift, and `quant.bounds` proves that it is at most 2**24 of them: exact in
any order, fused multiply-add or not.  Clipping comes before rounding, since integer bounds survive either order
and ONNX Runtime fuses a Clip into the convolution before it.

Rounding to even is x + 1.5 * 2**23 - 1.5 * 2**23, each of them correctly rounded, as two batch normalisations:
those ONNX Runtime computes in the blocked layout (NCHWc) of its convolutions, where Round would have every
tensor reordered twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.bounds import FLOAT32_EXACT, Bound, accumulator_bound, shifts, tensor_bounds
from quant.float_onnx import window_attributes
from quant.network import Add, Concat, Conv, Layer, Network, Pool, Window

OPSET, IR_VERSION = 19, 9
MAGIC = np.float32(1.5 * 2**23)
"""In the middle of the numbers whose float32 neighbours are the integers."""

ROUND_EXACT = 1 << 22
"""Up to this magnitude adding MAGIC rounds to an integer."""

SUM_EXACT = 1 << 21
"""A mean of so large a sum, wrong by two units in the last place, still rounds back to the sum when multiplied."""


def exact_in_float32(network: Network, layer: Layer, bounds: dict[str, Bound]) -> bool:
    """Whether it is proved that `float_model` computes a layer exactly, whatever its input.

    bounds: `quant.bounds.tensor_bounds(network)`.  For an average: ONNX Runtime's mean times the number of
    elements rounds to the sum, which is then divided once, correctly rounded; `quant.qdq.beyond_float32` proves
    that such a quotient stays on its side of every tie.
    """
    if not isinstance(layer, Conv | Pool | Add | Concat):
        return False
    tensors = network.tensors
    reach = accumulator_bound(network, layer, bounds).magnitude
    if bounds[layer.output].magnitude > ROUND_EXACT:
        return False
    if isinstance(layer, Pool) and layer.kind == "average":
        left = max(tensors[layer.output].fmt.frac - tensors[layer.input].fmt.frac, 0)
        return reach < SUM_EXACT and reach << left < FLOAT32_EXACT // 2
    if isinstance(layer, Conv):  # a weight that meets only zeros must be exact too
        reach = max(reach, int(np.abs(layer.weight).max(initial=0)))
    return max(reach, *(bounds[name].magnitude for name in layer.inputs)) <= FLOAT32_EXACT


def float_model(
    network: Network, layers: Sequence[Layer], sources: Iterable[str], outputs: Collection[str]
) -> onnx.ModelProto:
    """Some layers as an ONNX model.

    sources: tensors that the layers read from outside; outputs: tensors to return.  Both are float32
    (N, C, H, W) that hold the tensors' integers, under the tensors' own names.
    """
    writer = _Writer(network)
    for layer in layers:
        writer.write(layer)

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *network.tensors[name].shape])

    graph = helper.make_graph(
        writer.nodes, network.name or "network", [value(s) for s in sources], [value(o) for o in outputs],
        list(writer.constants.values()),
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def window_counts(window: Window, shape: tuple[int, int, int], include_pad: bool) -> np.ndarray:
    """How many elements each window over a map (C, H, W) holds, int64 (OH, OW): of the kernel, or inside the map."""
    sizes, per_axis = window.output_size(*shape[1:]), []
    for axis in (0, 1):
        first = np.arange(sizes[axis]) * window.stride[axis] - window.pads[axis]
        places = first[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]
        per_axis.append((include_pad | ((places >= 0) & (places < shape[1 + axis]))).sum(1))
    return np.outer(*per_axis)


class _Writer:
    def __init__(self, network: Network) -> None:
        self.network, self.bounds = network, tensor_bounds(network)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values, np.float32), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def write(self, layer: Layer) -> None:
        name = layer.output
        if isinstance(layer, Concat):
            self.node("Concat", list(layer.inputs), name, axis=1)
        elif isinstance(layer, Pool) and layer.kind == "max":
            self.maximum(layer)
        elif isinstance(layer, Pool):
            self.rounded(self.clipped(self.average(layer), layer.clip, name), name)
        elif isinstance(layer, Conv):
            self.rounded(self.clipped(self.convolution(layer), layer.clip, name), name)
        else:
            self.rounded(self.clipped(self.addition(layer), layer.clip, name), name)

    def convolution(self, layer: Conv) -> str:
        """The accumulator in units of the output."""
        tensors, name = self.network.tensors, layer.output
        right, _ = shifts(self.network, layer)
        # beyond these limits a shift leaves nothing, or saturates anything but 0
        scale = np.ldexp(1.0, -np.clip(right, -64, 100))
        inputs = [
            layer.input,
            self.constant(f"{name}/weight", layer.weight * scale.reshape(-1, 1, 1, 1)),
            self.constant(f"{name}/bias", layer.bias * scale),
        ]
        exact = f"{name}/convolved"
        self.node("Conv", inputs, exact, group=layer.groups, **window_attributes(layer.window))
        if layer.residual is None:
            return exact
        shift = tensors[name].fmt.frac - tensors[layer.residual].fmt.frac
        return self.node("Add", [exact, self.shifted(layer.residual, shift, f"{name}/residual")], f"{name}/sum")

    def addition(self, layer: Add) -> str:
        tensors, name = self.network.tensors, layer.output
        terms = [
            self.shifted(source, tensors[name].fmt.frac - tensors[source].fmt.frac, f"{name}/term{place}")
            for place, source in enumerate(layer.inputs)
        ]
        return self.node("Add", terms, f"{name}/sum")

    def maximum(self, layer: Pool) -> None:
        name, found = layer.output, self.bounds[layer.input]
        some = window_counts(layer.window, self.network.tensors[layer.input].shape, False).min() > 0
        free = some and found == found.clip(layer.clip)  # else the clip, which also bounds a maximum of nothing
        largest = name if free else f"{name}/maxima"
        self.node("MaxPool", [layer.input], largest, **window_attributes(layer.window))
        if not free:
            low, high = (self.constant(f"{name}/{k}", v) for k, v in zip(("low", "high"), layer.clip, strict=True))
            self.node("Clip", [largest, low, high], name)

    def average(self, layer: Pool) -> str:
        """The quotient in units of the output."""
        tensors, name = self.network.tensors, layer.output
        count = layer.window.kernel[0] * layer.window.kernel[1]
        mean = self.node(
            "AveragePool", [layer.input], f"{name}/mean", count_include_pad=1, **window_attributes(layer.window)
        )
        total = self.node("Mul", [mean, self.constant(f"{name}/elements", count)], f"{name}/about")
        total = self.node("Round", [total], f"{name}/total")
        counts = window_counts(layer.window, tensors[layer.input].shape, layer.count_include_pad)
        units = np.ldexp(counts.astype(np.float64), tensors[layer.input].fmt.frac - tensors[name].fmt.frac)
        return self.node("Div", [total, self.constant(f"{name}/counts", units)], f"{name}/quotient")

    def shifted(self, source: str, shift: int, name: str) -> str:
        """A tensor times 2**shift."""
        return self.affine(source, float(np.ldexp(1.0, shift)), 0.0, name) if shift else source

    def clipped(self, source: str, clip: tuple[int, int], name: str) -> str:
        low, high = (self.constant(f"{name}/{k}", v) for k, v in zip(("low", "high"), clip, strict=True))
        return self.node("Clip", [source, low, high], f"{name}/clipped")

    def rounded(self, source: str, name: str) -> None:
        """Half to even.  `source` is the result of a Clip, so that no convolution takes these up as its bias."""
        above = self.affine(source, 1.0, float(MAGIC), f"{name}/above", name)
        self.affine(above, 1.0, -float(MAGIC), name, name)

    def affine(self, source: str, factor: float, offset: float, output: str, shape: str | None = None) -> str:
        """source * factor + offset as a batch normalisation.  shape: the tensor whose channels it has."""
        channels = self.network.tensors[shape or source].shape[0]
        values = [
            self.constant(f"{role}{value:g}x{channels}", np.full(channels, value))
            for role, value in (("scale", factor), ("offset", offset), ("mean", 0.0), ("variance", 1.0))
        ]
        return self.node("BatchNormalization", [source, *values], output, epsilon=0.0)
