"""Layers of an integer network as ONNX operators that ONNX Runtime, optimizations and all, computes exactly.

A tensor's integers stand as float32.  With the weights of a convolution multiplied by 2**-shift, which
is exact, every partial sum is a multiple of 2**-shift, and `quant.ir.bounds` proves that it is at most 2**24 of them:
exact in any order, fused multiply-add or not.  Clipping comes before rounding, since integer bounds survive either
order and ONNX Runtime fuses a Clip into the convolution before it.  Rounding to even is x + 1.5 * 2**23 - 1.5 * 2**23,
each of them correctly rounded, as two batch normalisations: those ONNX Runtime computes in the blocked layout (NCHWc)
of its convolutions, where Round would have every tensor reordered twice.

A convolution beyond float32 is the sum of several that are not (`quant.run.fast_split`), added up in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.ir.bounds import FLOAT32_EXACT, FLOAT64_EXACT, accumulator_bound, tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Bound
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.run.fast_split import find_split
from quant.run.float_onnx import window_attributes

COPIES = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""Attributes of a Resize that copies every element, by whole factors."""

MAGIC = float(np.float32(1.5 * 2**23))
"""In the middle of the numbers whose float32 neighbours are the integers."""

ROUND_EXACT = 1 << 22
"""Up to this magnitude adding MAGIC rounds to an integer."""

SUM_EXACT = 1 << 20
"""A mean of so large a sum, wrong by two units in the last place, still rounds back to the sum when multiplied."""


def is_exact(network: Network, layer: Layer, bounds: dict[str, Bound]) -> bool:
    """Whether it is proved that `quant.run.fast_bytes.fast_model` computes a layer exactly, whatever its input.

    bounds: `quant.ir.bounds.tensor_bounds(network)`.  For an average: ONNX Runtime's mean times the number of
    elements rounds to the sum, which is then divided once, in float64 and correctly rounded; by the proof in
    `quant.qdq.beyond_float32` (with 53 bits for 24) such a quotient stays on its side of every tie.
    """
    if max(bounds[name].magnitude for name in (*layer.inputs, layer.output)) > ROUND_EXACT:
        return False
    if isinstance(layer, Table | Resize):
        return True
    reach = accumulator_bound(network, layer, bounds).magnitude
    if isinstance(layer, Pool) and layer.kind == "average":
        tensors = network.tensors
        left = max(tensors[layer.output].fmt.frac - tensors[layer.input].fmt.frac, 0)
        sums = FLOAT64_EXACT if covers_map(network, layer) else SUM_EXACT
        return reach < sums and reach << left < FLOAT64_EXACT // 2
    if isinstance(layer, Conv):
        whole = in_float32(network, layer, bounds)
        return whole or (reach <= FLOAT64_EXACT and find_split(layer, bounds[layer.input]) is not None)
    return reach <= FLOAT32_EXACT


def in_float32(network: Network, layer: Conv, bounds: dict[str, Bound]) -> bool:
    """Whether a convolution is exact in float32 as it is; a weight that meets only zeros must be exact too."""
    reach = accumulator_bound(network, layer, bounds).magnitude
    return max(reach, int(np.abs(layer.weight).max(initial=0))) <= FLOAT32_EXACT


def covers_map(network: Network, layer: Pool) -> bool:
    """Whether a pool is over its whole input."""
    return layer.window == Window(network.tensors[layer.input].shape[1:])


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


class FloatWriter:
    """The growing graph, all tensors float32."""

    def __init__(self, network: Network) -> None:
        self.network, self.bounds = network, tensor_bounds(network)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.made: set[str] = set()

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """A constant, made once; returns its name."""
        self.constants[name] = numpy_helper.from_array(np.asarray(values).astype(dtype), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its output."""
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        self.made.add(output)
        return output

    def fmt(self, name: str) -> QFormat:
        """A tensor's format."""
        return self.network.tensors[name].fmt

    def write(self, layer: Layer) -> None:
        """Append a layer; its output's name is the layer's own."""
        name = layer.output
        if isinstance(layer, Concat):
            self.node("Concat", [self.plain(source) for source in layer.inputs], name, axis=1)
        elif isinstance(layer, Pool) and layer.kind == "max":
            self.maximum(layer)
        elif isinstance(layer, Conv) and not in_float32(self.network, layer, self.bounds):
            self.finish_wide(self.split_convolution(layer), layer.clip, name)
        elif isinstance(layer, Conv):
            self.rounded(self.clipped(self.convolution(layer), layer.clip, name), name)
        elif isinstance(layer, Pool):
            self.average(layer)
        elif isinstance(layer, Add):
            self.rounded(self.clipped(self.addition(layer), layer.clip, name), name)
        elif isinstance(layer, Table):
            self.table(layer)
        else:
            assert isinstance(layer, Resize)
            scales = self.constant(f"{name}/scales", [1, 1, *layer.factors])
            self.node("Resize", [self.plain(layer.input), "", scales], name, **COPIES)

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
        name, scale = layer.output, float_scale(layer.shifts(self.network.tensors)[0])
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

    def table(self, layer: Table) -> None:
        """A Gather by the integers, counted from the lowest."""
        name, low = layer.output, self.fmt(layer.input).low
        places = self.node("Cast", [self.plain(layer.input)], f"{name}/integers", to=TensorProto.INT32)
        offset = self.standing(layer.input)[0] + low
        if offset:
            places = self.node("Sub", [places, self.constant(f"integer{offset}", offset, np.int32)], f"{name}/places")
        zero, dtype = self.standing(name)
        self.node("Gather", [self.constant(f"{name}/entries", layer.entries + zero, dtype), places], name)

    def standing(self, tensor: str) -> tuple[int, Any]:
        """How a tensor stands in the graph: what is added to its integers, and the type."""
        return 0, np.float32

    def maximum(self, layer: Pool) -> None:
        """A maximum, clipped only where that can change it."""
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
        if covers_map(self.network, layer):
            wide = self.wide(self.real(layer.input))
            self.constants["maps"] = numpy_helper.from_array(np.array([2, 3], np.int64), "maps")
            wide = self.node("ReduceSum", [wide, "maps"], f"{name}/total", keepdims=1)
        else:
            count = layer.window.kernel[0] * layer.window.kernel[1]
            mean = self.node("AveragePool", [self.real(layer.input)], f"{name}/mean", count_include_pad=1,
                             **window_attributes(layer.window))  # fmt: skip
            about = self.node("Mul", [mean, self.constant(f"{name}/elements", count)], f"{name}/about")
            wide = self.wide(self.node("Round", [about], f"{name}/total"))
        counts = window_counts(layer.window, self.network.tensors[layer.input].shape, layer.count_include_pad)
        units = self.constant(f"{name}/counts", np.ldexp(counts * 1.0, fmt.frac - self.fmt(name).frac), np.float64)
        self.finish_wide(self.node("Div", [wide, units], f"{name}/quotient"), layer.clip, name)

    def wide(self, tensor: str) -> str:
        """A tensor as float64."""
        name = f"{tensor}/wide"
        return name if name in self.made else self.node("Cast", [tensor], name, to=TensorProto.DOUBLE)

    def finish_wide(self, source: str, clip: tuple[int, int], name: str) -> None:
        """From float64 in units of the output to its integers."""
        limits = [self.constant(f"wide{bound}", bound, np.float64) for bound in clip]
        whole = self.node("Round", [self.node("Clip", [source, *limits], f"{name}/clipped")], f"{name}/rounded")
        self.whole(self.node("Cast", [whole], self.before(name), to=TensorProto.FLOAT), name)

    def split_convolution(self, layer: Conv) -> str:
        """The accumulator in units of the output, in float64."""
        name, split = layer.output, find_split(layer, self.bounds[layer.input])
        assert split is not None
        scale = float_scale(layer.shifts(self.network.tensors)[0])
        terms = [self.constant(f"{name}/bias", (layer.bias * scale).reshape(-1, 1, 1), np.float64)]
        rest = self.real(layer.input)
        for place in range(split.data):
            digit = rest
            if place < split.data - 1:
                step = self.constant(f"digit{split.data_bits}", 2.0**split.data_bits)
                parts = f"{name}/digits{place}"
                above = self.node("Floor", [self.node("Div", [rest, step], f"{parts}/quotient")], f"{parts}/above")
                digit = self.node("Sub", [rest, self.node("Mul", [above, step], f"{parts}/shifted")], f"{parts}/digit")
                rest = above
            for index, weight in enumerate(split.weight_digits(layer.weight)):
                factor = scale * 2.0 ** (place * split.data_bits + index * split.weight_bits)
                part = f"{name}/part{place}_{index}"
                scaled = self.constant(f"{part}/weight", weight * factor.reshape(-1, 1, 1, 1))
                attributes = window_attributes(layer.window) | {"group": layer.groups}
                terms.append(self.wide(self.node("Conv", [digit, scaled], part, **attributes)))
        if layer.residual is not None:
            shift = self.fmt(name).frac - self.fmt(layer.residual).frac
            terms.append(self.wide(self.real(layer.residual, shift)))
        total = terms[1]
        for place, term in enumerate([terms[0], *terms[2:]]):
            total = self.node("Add", [total, term], f"{name}/total{place}")
        return total

    def before(self, name: str) -> str:
        """What to call a tensor's integers as float32, when `whole` follows."""
        return name

    def whole(self, source: str, name: str) -> None:
        """Integers as float32 to the tensor as it stands."""

    def clipped(self, source: str, clip: tuple[int, int], name: str) -> str:
        """float32 in units of the output, clipped."""
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
