"""Max and average pooling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import onnx

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import FLOAT32_EXACT, FLOAT64_EXACT, QFormat, check_left, clip_bounds
from quant.ir.layer import OPSET, Bounded, Clip, Clipped, ReadsOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.window import Window
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes, WideNodes
from quant.kinds.kernels import averages, maxima
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import View, label
from quant.onnx_file.windows import read_average, read_window

SUM_EXACT = 1 << 20
"""A mean of so large a sum, wrong by two units in the last place, still rounds back to the sum when multiplied."""


class Pooling(ReadsOne):
    """What both forms of a pool answer alike."""

    kind: Literal["max", "average"]
    window: Window

    @property
    def operator(self) -> str:
        """As `AnyLayer.operator`."""
        return "MaxPool" if self.kind == "max" else "AveragePool"

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`: a maximum is one of the elements that it sees."""
        return self.kind == "max"

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        return channels, *self.window.output_size(height, width)

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        self.window.check()


@dataclass(frozen=True, eq=False)
class Pool(Pooling, Bounded):
    """Max or average pooling.  Padding never wins a maximum and adds nothing to a sum.

    An average is sum / count, rounded half to even into the output's format, where count is the number
    of kernel elements, or with count_include_pad false of those inside the input.
    """

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: tuple[int, int]
    count_include_pad: bool = True

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`: neither the sum nor the number of elements, aligned to divide, leaves int64."""
        super().check(tensors)
        if self.moves:
            return
        source, count = tensors[self.input].fmt, self.window.kernel[0] * self.window.kernel[1]
        shift = source.frac - tensors[self.output].fmt.frac
        check_left(Bound(count * source.low, count * source.high).bits, -shift, "the sum")
        check_left(1 + count.bit_length(), shift, "the number of elements")

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return bounds[self.input].clip(self.clip) if self.moves else super().bound(tensors, bounds)

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`; of an average partial sums."""
        if self.moves:
            return super().accumulator(tensors, bounds)
        count, read = self.window.kernel[0] * self.window.kernel[1], bounds[self.input]
        return Bound(count * min(read.low, 0), count * max(read.high, 0))

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        fmt = tensors[self.output].fmt
        shift = tensors[self.input].fmt.frac - fmt.frac

        def maximum(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return np.clip(maxima(inputs[0], self.window), *self.clip)

        def average(inputs: Sequence[np.ndarray]) -> np.ndarray:
            mean = averages(inputs[0], self.window, shift, self.count_include_pad)
            return np.clip(mean, *self.clip).astype(fmt.dtype)

        return maximum if self.moves else average

    def _covers_map(self, tensors: Mapping[str, Tensor]) -> bool:
        return self.window == Window(tensors[self.input].shape[1:])

    def is_exact(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """As `Layer.is_exact`.

        Of an average: ONNX Runtime's mean times the number of elements rounds to the sum, which is then divided once,
        in float64 and correctly rounded; by the proof in `exact_in_float32` (with 53 bits for 24) such a
        quotient stays on its side of every tie.
        """
        if self.moves:
            return super().is_exact(tensors, bounds)
        reach = self.accumulator(tensors, bounds).magnitude
        left = max(tensors[self.output].fmt.frac - tensors[self.input].fmt.frac, 0)
        sums = FLOAT64_EXACT if self._covers_map(tensors) else SUM_EXACT
        return reach < sums and reach << left < FLOAT64_EXACT // 2

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        if self.moves:
            self._write_maximum(nodes)
        else:
            self._write_average(nodes)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        attributes = self.window.attributes
        if not self.moves:
            attributes["count_include_pad"] = int(self.count_include_pad)
        op = "MaxPool" if self.moves else "AveragePool"
        nodes.node(op, [nodes.read(self.input, 4)], output, self.name, **attributes)
        return 4

    def exact_in_float32(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """As `Layer.exact_in_float32`.

        An average also divides, once, correctly rounded: let the sum S be an integer and n the count, and let the
        output's unit be 2**k of the input's.  A tie of the output's rounding is an odd multiple of 2**(k - 1), which
        float32 represents; S / n is a tie or at least 2**min(k, 0) / (2 n) from it, and division moves it by at most
        |S / n| / 2**24.  So with |S| * 2**max(-k, 0) < 2**23 the quotient stays on its side of every tie and only a
        tie becomes one.  Sums whose average saturates need no more than that the order of quotients is kept.
        """
        if self.moves or not super().exact_in_float32(tensors, bounds):
            return super().exact_in_float32(tensors, bounds)
        reach, fmt = self.accumulator(tensors, bounds).magnitude, tensors[self.output].fmt
        k = tensors[self.input].fmt.frac - fmt.frac
        count = self.window.kernel[0] * self.window.kernel[1]
        saturated = (max(-fmt.low, fmt.high) + 1) * count << max(k, 0)
        return min(reach << max(-k, 0), saturated) < FLOAT32_EXACT // 2

    def write_wide(self, nodes: WideNodes, inputs: list[str], output: str) -> bool:
        """As `Layer.write_wide`: the sum of each window over its number of elements."""
        if self.moves:
            return False
        source = nodes.tensors[self.input].shape
        counts = self.window.counts(*source[1:], include_pad=self.count_include_pad).reshape(-1)
        windows = nodes.windows(inputs[0], output, source, self.window)
        axes = nodes.constant(f"{output}_axes", np.array([2], np.int64))
        total = nodes.node("ReduceSum", [windows, axes], f"{output}_sum", keepdims=0)
        mean = nodes.node(
            "Div", [total, nodes.constant(f"{output}_counts", counts.astype(np.float64))], f"{output}_mean"
        )
        nodes.shaped(mean, output, 0, *nodes.tensors[self.output].shape)
        return True

    def _write_maximum(self, nodes: ExactNodes) -> None:
        """A maximum, clipped only where that can change it."""
        name, found = self.output, nodes.bounds[self.input]
        some = self.window.counts(*nodes.tensors[self.input].shape[1:], include_pad=False).min() > 0
        free = some and found == found.clip(self.clip)  # else the clip, which also bounds a maximum of nothing
        largest = name if free else f"{name}/maxima"
        nodes.node("MaxPool", [nodes.plain(self.input)], largest, **self.window.attributes)
        if not free:
            nodes.node("Clip", [largest, *nodes.limits(self.clip, name)], name)

    def _write_average(self, nodes: ExactNodes) -> None:
        """Sum, then quotient, clip and rounding in float64."""
        name, source = self.output, nodes.tensors[self.input]
        if self._covers_map(nodes.tensors):
            axes = nodes.constant("maps", [2, 3], np.int64)
            wide = nodes.node("ReduceSum", [nodes.wide(nodes.real(self.input)), axes], f"{name}/total", keepdims=1)
        else:
            count = self.window.kernel[0] * self.window.kernel[1]
            mean = nodes.node(
                "AveragePool", [nodes.real(self.input)], f"{name}/mean", count_include_pad=1, **self.window.attributes
            )
            about = nodes.node("Mul", [mean, nodes.constant(f"{name}/elements", count)], f"{name}/about")
            wide = nodes.wide(nodes.node("Round", [about], f"{name}/total"))
        counts = self.window.counts(*source.shape[1:], include_pad=self.count_include_pad)
        shift = source.fmt.frac - nodes.tensors[name].fmt.frac
        units = nodes.constant(f"{name}/counts", np.ldexp(counts * 1.0, shift), np.float64)
        nodes.finish_wide(nodes.node("Div", [wide, units], f"{name}/quotient"), self.clip, name)


@dataclass(frozen=True, eq=False)
class FloatPool(Pooling, Clipped):
    """Max or average pooling, then clip.  count_include_pad as in ONNX."""

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: Clip = (None, None)
    count_include_pad: bool = True

    form: ClassVar = Pool

    @property
    def opset(self) -> int:
        """As `FloatLayer.opset`: AveragePool has dilations from 19 on."""
        return OPSET if self.moves or self.window.dilation == (1, 1) else 19

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        if self.moves:
            return nodes.node("MaxPool", [self.input], **self.window.attributes)
        include = int(self.count_include_pad)
        return nodes.node("AveragePool", [self.input], **self.window.attributes, count_include_pad=include)

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Pool:
        """As `FloatLayer.quantized`."""
        bounds = clip_bounds(tensors[self.output].fmt, *clip)
        return Pool(self.name, self.input, self.output, self.kind, self.window, bounds, self.count_include_pad)

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: maxima and averages scale as their values do."""
        return ((self.input, 0),)

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"{self.window} {self.kind} pooling"

    def padded(self, pads: tuple[int, int, int, int], fill: float, never_negative: bool) -> FloatPool | None:
        """As `FloatLayer.padded`.

        Zeros beside elements that are not below them change no maximum; an average counts padding only if it counts
        all of it.  Every window must keep at least one real element.
        """
        window = self.window.padded(pads)
        whole = any(size >= window.span[side % 2] for side, size in enumerate(window.pads))
        takes = fill < 0 or never_negative if self.moves else fill == 0 and self.count_include_pad
        return replace(self, window=window) if takes and not whole else None


def conversion(name: str, source: Tensor, output: str, fmt: QFormat, clip: tuple[int, int]) -> Pool:
    """The layer that gives a tensor another format or clip and does nothing else: a pool over one element."""
    kind: Literal["max", "average"] = "max" if source.fmt == fmt else "average"
    return Pool(name, source.name, output, kind, Window(), clip)


def read_maximum(reading: Reading) -> tuple[Pool, Own]:
    """As `Reader.read`: the clip stays behind it."""
    node = reading.node
    source, _ = reading.moved(node.input[0], clipped=False)
    if len(node.output) > 1 and (node.output[1] in reading.view.readers or node.output[1] in reading.view.outputs):
        raise UnsupportedNetwork(f"the indices of {label(node)} are used")
    window = Window(source.shape[1:])
    if node.op_type == "MaxPool":
        window, _ = read_window(attributes(node), source.shape, read_kernel(node))
    layer = Pool(reading.name, source.name, reading.output, "max", window, reading.clip)
    return layer, layer.output_shape({source.name: source.shape})


def read_mean(reading: Reading) -> tuple[Pool, Own]:
    """As `Reader.read`."""
    node, values = reading.node, attributes(reading.node)
    source, _ = reading.exact(node.input[0])
    window, include = Window(source.shape[1:]), True
    if node.op_type == "AveragePool" and reading.view.foreign:
        window, include = read_average(values, source.shape, read_kernel(node))
    elif node.op_type == "AveragePool":  # as it was written, be its padding idle or not
        window, _ = read_window(values, source.shape, read_kernel(node))
        include = bool(values.get("count_include_pad", 0))
    elif node.op_type == "ReduceMean":
        check_whole_map(reading.view, node)
    layer = Pool(reading.name, source.name, reading.output, "average", window, reading.clip, include)
    shape = layer.output_shape({source.name: source.shape})
    flat = node.op_type == "ReduceMean" and not values.get("keepdims", 1)
    return layer, shape[:1] if flat else shape


def read_kernel(node: onnx.NodeProto) -> tuple[int, int]:
    """(vertical, horizontal) of a pool's kernel, which ONNX Runtime wants larger than the padding, dilated or not."""
    values = attributes(node)
    kernel, pads = values["kernel_shape"], values.get("pads", ())
    if len(kernel) != 2:
        raise UnsupportedNetwork(f"{label(node)} has a kernel of {len(kernel)} dimensions, not 2")
    if any(pad >= size for pad, size in zip(pads, [*kernel] * 2, strict=False)):  # other lengths: `read_window` refuses
        raise UnsupportedNetwork(f"{label(node)}: its padding {list(pads)} is as large as its kernel")
    return kernel[0], kernel[1]


def check_whole_map(view: View, node: onnx.NodeProto) -> None:
    """Raises UnsupportedNetwork for a ReduceMean that is not over rows and columns."""
    axes = view.array(node.input[1], "its axes") if view.has(node, 1) else attributes(node).get("axes", ())
    if sorted(int(axis) % 4 for axis in np.asarray(axes).reshape(-1) if -4 <= axis < 4) != [2, 3]:
        raise UnsupportedNetwork(f"{label(node)} is over other axes than rows and columns")


READERS = {op: Reader(read_maximum, moves=True) for op in ("MaxPool", "GlobalMaxPool")} | {
    op: Reader(read_mean) for op in ("AveragePool", "GlobalAveragePool", "ReduceMean")
}
