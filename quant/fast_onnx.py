"""Layers of an integer network as ONNX operators that ONNX Runtime, optimizations and all, computes exactly.

*In float32* a tensor's integers stand as float32.  With the weights of a convolution multiplied by 2**-shift, which
is exact, every partial sum is a multiple of 2**-shift, and `quant.bounds` proves that it is at most 2**24 of them:
exact in any order, fused multiply-add or not.  Clipping comes before rounding, since integer bounds survive either
order and ONNX Runtime fuses a Clip into the convolution before it.  Rounding to even is x + 1.5 * 2**23 - 1.5 * 2**23,
each of them correctly rounded, as two batch normalisations: those ONNX Runtime computes in the blocked layout (NCHWc)
of its convolutions, where Round would have every tensor reordered twice.

*In bytes* a tensor's integers stand as uint8, those of a signed format plus 128, which is the zero point.  A
QLinearConv sums in int32, converts the sum to float32, exactly below 2**24, multiplies by the scale 2**-shift, rounds
half to even and saturates.  It is exact where the processor's products of bytes are, which `quant.fast_kernels`
finds out.  A layer with a residual or with data of more than 8 bits runs in float32 among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.bounds import FLOAT32_EXACT, FLOAT64_EXACT, Bound, accumulator_bound, shifts, tensor_bounds
from quant.fixedpoint import QFormat
from quant.float_onnx import window_attributes
from quant.network import Add, Concat, Conv, Layer, Network, Pool, Window

OPSET, IR_VERSION = 19, 9
MAGIC = float(np.float32(1.5 * 2**23))
"""In the middle of the numbers whose float32 neighbours are the integers."""

ROUND_EXACT = 1 << 22
"""Up to this magnitude adding MAGIC rounds to an integer."""

SUM_EXACT = 1 << 20
"""A mean of so large a sum, wrong by two units in the last place, still rounds back to the sum when multiplied."""


def exact_in_float32(network: Network, layer: Layer, bounds: dict[str, Bound]) -> bool:
    """Whether it is proved that `fast_model` computes a layer exactly, whatever its input.

    bounds: `quant.bounds.tensor_bounds(network)`.  For an average: ONNX Runtime's mean times the number of
    elements rounds to the sum, which is then divided once, in float64 and correctly rounded; by the proof in
    `quant.qdq.beyond_float32` (with 53 bits for 24) such a quotient stays on its side of every tie.
    """
    if not isinstance(layer, Conv | Pool | Add | Concat) or bounds[layer.output].magnitude > ROUND_EXACT:
        return False
    reach = accumulator_bound(network, layer, bounds).magnitude
    if isinstance(layer, Pool) and layer.kind == "average":
        tensors = network.tensors
        left = max(tensors[layer.output].fmt.frac - tensors[layer.input].fmt.frac, 0)
        return reach < SUM_EXACT and reach << left < FLOAT64_EXACT // 2
    if isinstance(layer, Conv):  # a weight that meets only zeros must be exact too
        reach = max(reach, int(np.abs(layer.weight).max(initial=0)))
    return max(reach, *(bounds[name].magnitude for name in layer.inputs)) <= FLOAT32_EXACT


def fits_bytes(fmt: QFormat) -> bool:
    """Whether a tensor can stand as uint8."""
    return fmt.bits <= 8


def zero_point(fmt: QFormat) -> int:
    """What is added to the integers of a format in bytes."""
    return 128 if fmt.signed else 0


def fast_model(
    network: Network, layers: Sequence[Layer], sources: Iterable[str], outputs: Collection[str], in_bytes: bool
) -> onnx.ModelProto:
    """Some layers as an ONNX model.

    sources: tensors that the layers read from outside; outputs: tensors to return, all under their own names,
    (N, C, H, W).  in_bytes: whether tensors of at most 8 bits stand as uint8, and with them those of `sources`
    and `outputs`; all others stand as float32.
    """
    writer = (_ByteWriter if in_bytes else _FloatWriter)(network)

    def value(name: str) -> onnx.ValueInfoProto:
        tensor = network.tensors[name]
        kind = TensorProto.UINT8 if in_bytes and fits_bytes(tensor.fmt) else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, ["N", *tensor.shape])

    for layer in layers:
        writer.write(layer)
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


def float_scale(right: np.ndarray) -> np.ndarray:
    """2**-right.  Beyond these limits a shift leaves nothing, or saturates anything but 0."""
    return np.ldexp(1.0, -np.clip(right, -64, 100))


class _FloatWriter:
    """The growing graph, all tensors float32."""

    def __init__(self, network: Network) -> None:
        self.network, self.bounds = network, tensor_bounds(network)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.made: set[str] = set()

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values).astype(dtype), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        self.made.add(output)
        return output

    def fmt(self, name: str) -> QFormat:
        return self.network.tensors[name].fmt

    def write(self, layer: Layer) -> None:
        """Append a layer; its output's name is the layer's own."""
        name = layer.output
        if isinstance(layer, Concat):
            self.node("Concat", [self.plain(source) for source in layer.inputs], name, axis=1)
        elif isinstance(layer, Pool) and layer.kind == "max":
            self.maximum(layer)
        elif isinstance(layer, Conv):
            self.rounded(self.clipped(self.convolution(layer), layer.clip, name), name)
        elif isinstance(layer, Pool):
            self.average(layer)
        else:
            self.rounded(self.clipped(self.addition(layer), layer.clip, name), name)

    def plain(self, tensor: str) -> str:
        """A tensor as it stands."""
        return tensor

    def real(self, tensor: str, shift: int = 0) -> str:
        """A tensor's integers times 2**shift, float32."""
        name = f"{tensor}/shifted{shift}" if shift else tensor
        if shift and name not in self.made:
            self.affine(tensor, float(np.ldexp(1.0, shift)), 0.0, name, tensor)
        return name

    def convolution(self, layer: Conv) -> str:
        """The accumulator in units of the output."""
        name, scale = layer.output, float_scale(shifts(self.network, layer)[0])
        inputs = [
            self.real(layer.input),
            self.constant(f"{name}/weight", layer.weight * scale.reshape(-1, 1, 1, 1)),
            self.constant(f"{name}/bias", layer.bias * scale),
        ]
        exact = f"{name}/convolved"
        self.node("Conv", inputs, exact, group=layer.groups, **window_attributes(layer.window))
        if layer.residual is None:
            return exact
        residual = self.real(layer.residual, self.fmt(name).frac - self.fmt(layer.residual).frac)
        return self.node("Add", [exact, residual], f"{name}/sum")

    def addition(self, layer: Add) -> str:
        """The sum in units of the output."""
        name = layer.output
        terms = [self.real(source, self.fmt(name).frac - self.fmt(source).frac) for source in layer.inputs]
        return self.node("Add", terms, f"{name}/sum")

    def maximum(self, layer: Pool) -> None:
        name, found = layer.output, self.bounds[layer.input]
        some = window_counts(layer.window, self.network.tensors[layer.input].shape, False).min() > 0
        free = some and found == found.clip(layer.clip)  # else the clip, which also bounds a maximum of nothing
        largest = name if free else f"{name}/maxima"
        self.node("MaxPool", [self.plain(layer.input)], largest, **window_attributes(layer.window))
        if not free:
            self.node("Clip", [largest, *self.limits(layer.clip, name)], name)

    def limits(self, clip: tuple[int, int], name: str) -> list[str]:
        """A clip's bounds for tensors as they stand."""
        return [self.constant(f"{name}/{side}", bound) for side, bound in zip(("low", "high"), clip, strict=True)]

    def average(self, layer: Pool) -> None:
        """Sum, then quotient, clip and rounding in float64."""
        name, fmt = layer.output, self.fmt(layer.input)
        count = layer.window.kernel[0] * layer.window.kernel[1]
        mean = self.node("AveragePool", [self.real(layer.input)], f"{name}/mean", count_include_pad=1,
                         **window_attributes(layer.window))  # fmt: skip
        about = self.node("Mul", [mean, self.constant(f"{name}/elements", count)], f"{name}/about")
        total = self.node("Round", [about], f"{name}/total")
        counts = window_counts(layer.window, self.network.tensors[layer.input].shape, layer.count_include_pad)
        units = self.constant(f"{name}/counts", np.ldexp(counts * 1.0, fmt.frac - self.fmt(name).frac), np.float64)
        wide = self.node("Cast", [total], f"{name}/wide", to=TensorProto.DOUBLE)
        quotient = self.node("Div", [wide, units], f"{name}/quotient")
        limits = [self.constant(f"{name}/wide{bound}", bound, np.float64) for bound in layer.clip]
        whole = self.node("Round", [self.node("Clip", [quotient, *limits], f"{name}/clipped")], f"{name}/whole")
        self.whole(self.node("Cast", [whole], self.before(name), to=TensorProto.FLOAT), name)

    def before(self, name: str) -> str:
        """What to call a tensor's integers as float32, when `whole` follows."""
        return name

    def whole(self, source: str, name: str) -> None:
        """Integers as float32 to the tensor as it stands."""

    def clipped(self, source: str, clip: tuple[int, int], name: str) -> str:
        limits = [self.constant(f"{name}/{side}", bound) for side, bound in zip(("low", "high"), clip, strict=True)]
        return self.node("Clip", [source, *limits], f"{name}/clipped")

    def rounded(self, source: str, name: str) -> None:
        """Half to even.  `source` is the result of a Clip, so that no convolution takes these up as its bias."""
        above = self.affine(source, 1.0, MAGIC, f"{name}/above", name)
        self.affine(above, 1.0, -MAGIC, name, name)

    def affine(self, source: str, factor: float, offset: float, output: str, like: str) -> str:
        """source * factor + offset as a batch normalisation.  like: a tensor with as many channels."""
        channels = self.network.tensors[like].shape[0]
        values = [
            self.constant(f"{role}{value:g}x{channels}", np.full(channels, value))
            for role, value in (("scale", factor), ("offset", offset), ("mean", 0.0), ("variance", 1.0))
        ]
        return self.node("BatchNormalization", [source, *values], output, epsilon=0.0)


class _ByteWriter(_FloatWriter):
    """The growing graph, tensors of at most 8 bits uint8, others float32."""

    def write(self, layer: Layer) -> None:
        fmts = [self.fmt(name) for name in (*layer.inputs, layer.output)]
        if isinstance(layer, Conv) and layer.residual is None and layer.weight_bits <= 8 and all(map(fits_bytes, fmts)):
            self.byte_convolution(layer)
        else:
            super().write(layer)

    def byte_convolution(self, layer: Conv) -> None:
        name, fmt = layer.output, self.fmt(layer.output)
        scale = float_scale(shifts(self.network, layer)[0])
        free = layer.clip == (-zero_point(fmt), 255 - zero_point(fmt))  # saturation does it
        inputs = [
            layer.input, self.scale(0), self.zero(layer.input),
            self.constant(f"{name}/weight", layer.weight, np.int8), self.constant(f"{name}/scales", scale),
            self.constant(f"zeros{len(scale)}", np.zeros(len(scale)), np.int8), self.scale(0), self.zero(name),
            self.constant(f"{name}/bias", layer.bias, np.int32),
        ]  # fmt: skip
        whole = name if free else f"{name}/saturated"
        self.node("QLinearConv", inputs, whole, group=layer.groups, **window_attributes(layer.window))
        if not free:
            self.node("Clip", [whole, *self.limits(layer.clip, name)], name)

    def limits(self, clip: tuple[int, int], name: str) -> list[str]:
        zero = zero_point(self.fmt(name))
        return [
            self.constant(f"byte{bound + zero}", bound + zero, np.uint8) if fits_bytes(self.fmt(name)) else
            self.constant(f"real{bound}", bound)
            for bound in clip
        ]  # fmt: skip

    def real(self, tensor: str, shift: int = 0) -> str:
        if not fits_bytes(self.fmt(tensor)):
            return super().real(tensor, shift)
        name = f"{tensor}/real{shift}"
        if name not in self.made:
            self.node("DequantizeLinear", [tensor, self.scale(shift), self.zero(tensor)], name)
        return name

    def before(self, name: str) -> str:
        return f"{name}/float" if fits_bytes(self.fmt(name)) else name

    def whole(self, source: str, name: str) -> None:
        if fits_bytes(self.fmt(name)):
            self.rounded(source, name)

    def rounded(self, source: str, name: str) -> None:
        if fits_bytes(self.fmt(name)):
            self.node("QuantizeLinear", [source, self.scale(0), self.zero(name)], name)
        else:
            super().rounded(source, name)

    def scale(self, shift: int) -> str:
        return self.constant(f"two{shift}", np.ldexp(1.0, shift))

    def zero(self, tensor: str) -> str:
        zero = zero_point(self.fmt(tensor))
        return self.constant(f"byte{zero}", zero, np.uint8)
