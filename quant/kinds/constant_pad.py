"""A map surrounded by numbers, one for each channel: a convolution behind it pads by others than zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import dequantize, quantize
from quant.ir.layer import Clip, Runner, bounded
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.edge_pad import EdgePad, edge_mode
from quant.kinds.padding import Padding, Pads, read_pads
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import label


@dataclass(frozen=True, eq=False)
class ConstantPad(Padding):
    """Surrounds each channel of a map with a number.

    pads: rows and columns.  values: (C,), in a float graph float32, in integers int64 of the tensors' format.
    """

    name: str
    input: str
    output: str
    pads: Pads
    values: np.ndarray

    @property
    def copies(self) -> bool:
        """As `AnyLayer.copies`."""
        return False

    @property
    def uniform(self) -> bool:
        """Whether all channels are surrounded by the same."""
        return bool((self.values == self.values[0]).all())

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"numbers around, {self.pads} rows and columns"

    @property
    def finite(self) -> bool:
        """As `FloatLayer.finite`."""
        return bool(np.isfinite(self.values).all())

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels = shapes[self.input][0]
        if self.values.shape != (channels,):
            raise ValueError(f"numbers of shape {self.values.shape} around {channels} channels")
        return super().output_shape(shapes)

    # In integers.

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`."""
        super().check(tensors)
        fmt = tensors[self.output].fmt
        if self.values.dtype.kind != "i" or self.values.min() < fmt.low or self.values.max() > fmt.high:
            raise ValueError(f"pads by numbers that are no integers of {fmt}")

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        inside = bounds[self.input]
        return Bound(min(inside.low, int(self.values.min())), max(inside.high, int(self.values.max())))

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`."""
        return self.bound(tensors, bounds)

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        (top, _), (left, _) = self.widths[2:]

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            channels, images, height, width = inputs[0].shape
            shape = channels, images, height + sum(self.widths[2]), width + sum(self.widths[3])
            around = self.values.astype(inputs[0].dtype).reshape(-1, 1, 1, 1)
            out = np.broadcast_to(around, shape).copy()
            out[:, :, top : top + height, left : left + width] = inputs[0]
            return out

        return run

    def inside(self, shape: Shape) -> np.ndarray:
        """Where in the result the map is, bool (1, 1, H, W).  shape: of the result."""
        top, left, bottom, right = self.pads
        found = np.zeros((1, 1, *shape[1:]), bool)
        found[:, :, top : shape[1] - bottom, left : shape[2] - right] = True
        return found

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`: a Pad knows one number only, so a Where puts in others."""
        name, (zero, dtype) = self.output, nodes.standing(self.output)
        ends = nodes.constant(f"{name}/ends", self.around, np.int64)
        around = self.values + zero
        first = nodes.constant(f"{name}/value", around[0], dtype)
        padded = nodes.node("Pad", [nodes.plain(self.input), ends, first], name if self.uniform else f"{name}/padded")
        if not self.uniform:
            inside = nodes.constant(f"{name}/inside", self.inside(nodes.tensors[name].shape), np.bool_)
            others = nodes.constant(f"{name}/values", around.reshape(1, -1, 1, 1), dtype)
            nodes.node("Where", [inside, padded, others], name)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`: a Pad, behind it a Where if channels differ."""
        tensor, source = nodes.tensors[self.output], nodes.read(self.input, 4)
        real = dequantize(self.values, tensor.fmt.frac).astype(np.float32)
        ends = nodes.constant(f"{self.name}_ends", np.array(self.around, np.int64))
        if self.uniform:
            value = nodes.constant(f"{self.name}_value", real[0])
            nodes.node("Pad", [source, ends, value], output, self.name)
        else:
            padded = nodes.node("Pad", [source, ends], f"{self.output}_padded", f"{self.name}/pad")
            inside = nodes.constant(f"{self.name}_inside", self.inside(tensor.shape))
            values = nodes.constant(f"{self.name}_values", real.reshape(1, -1, 1, 1))
            nodes.node("Where", [inside, padded, values], output, self.name)
        return 4

    # In float.

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`: zeros around x - values, plus values, for no shape is known here."""
        ends = nodes.constant("values", self.values.reshape(1, -1, 1, 1))
        lowered = nodes.node("Sub", [self.input, ends])
        padded = nodes.node("Pad", [lowered, nodes.node("Constant", [], value_ints=self.around)], mode="constant")
        return nodes.node("Add", [padded, ends])

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> ConstantPad:
        """As `FloatLayer.quantized`."""
        return replace(self, values=quantize(self.values, tensors[self.output].fmt))

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known and bool(self.values.min() >= 0)

    def tied(self, shapes: Mapping[str, Shape]) -> None:
        """As `FloatLayer.tied`: its numbers are not scaled."""
        return None

    def together(self, shapes: Mapping[str, Shape]) -> tuple[tuple[str, np.ndarray], ...]:
        """As `FloatLayer.together`."""
        return tuple((name, np.arange(len(self.values))) for name in (self.output, self.input))

    def thinned(self, kept: Mapping[str, np.ndarray]) -> ConstantPad:
        """As `FloatLayer.thinned`."""
        return replace(self, values=self.values[kept[self.output]])

    def becomes(self, channels: int) -> None:
        """As `FloatLayer.becomes`: what is done to its result would be done to its numbers, too."""
        return None

    def of_clipped(self, clip: Clip) -> ConstantPad:
        """As `FloatLayer.of_clipped`."""
        values = np.array([bounded(float(value), clip) for value in self.values], np.float32)
        return replace(self, values=values)


def read(reading: Reading) -> tuple[ConstantPad | EdgePad, Own]:
    """As `Reader.read`: a Pad of rows and columns."""
    node = reading.node
    mode = edge_mode(attributes(node).get("mode", b"constant").decode())
    pads = read_pads(reading.view, node)
    source, _ = reading.moved(node.input[0], clipped=True)
    layer: ConstantPad | EdgePad
    if mode is None:
        values = np.broadcast_to(_number(reading, node.input[2]) if reading.view.has(node, 2) else 0.0, source.shape[0])
        layer = ConstantPad(reading.name, source.name, reading.output, pads, _integers(reading, values))
    else:
        layer = EdgePad(reading.name, source.name, reading.output, pads, mode)
    return layer, layer.output_shape({source.name: source.shape})


def read_where(reading: Reading) -> tuple[ConstantPad, Own]:
    """As `Reader.read`: a Where that puts a number for each channel around a map that a Pad has made larger."""
    node, view = reading.node, reading.view
    pad = view.take(node.input[1])
    if pad is None or pad.op_type != "Pad" or attributes(pad).get("mode", b"constant") != b"constant":
        raise UnsupportedNetwork(f"{label(node)} chooses among tensors, and not what is around a padded one")
    if len(view.readers[view.origin(pad.output[0])]) > 1:
        raise UnsupportedNetwork(f"{label(pad)} is read by others than {label(node)}")
    pads = read_pads(view, pad)
    source, _ = reading.moved(pad.input[0], clipped=True)
    channels = source.shape[0]
    values = view.array(node.input[2], f"what {label(node)} puts in").astype(np.float64)
    if values.shape != (1, channels, 1, 1):
        raise UnsupportedNetwork(f"{label(node)} puts in numbers of shape {values.shape}, not one for each channel")
    layer = ConstantPad(reading.name, source.name, reading.output, pads, _integers(reading, values.reshape(-1)))
    shape = layer.output_shape({source.name: source.shape})
    inside = view.array(node.input[0], f"the condition of {label(node)}")
    if not np.array_equal(inside, layer.inside(shape)):
        raise UnsupportedNetwork(f"{label(node)} puts in something else than what is around the map")
    return layer, shape


def _number(reading: Reading, name: str) -> float:
    """What a Pad puts around."""
    found = reading.view.array(name, f"what {label(reading.node)} pads by").astype(np.float64).reshape(-1)
    if found.size != 1:
        raise BadInput(f"{label(reading.node)} pads by {found.size} numbers")
    return float(found[0])


def _integers(reading: Reading, values: np.ndarray) -> np.ndarray:
    """Numbers as integers of the result's format, int64; what is no such integer only where the file rounds it."""
    if not np.isfinite(values).all():
        raise UnsupportedNetwork(f"{label(reading.node)} pads by {values.tolist()}")
    integers = np.clip(quantize(values, reading.fmt), *reading.clip)
    if not reading.rounds and (dequantize(integers, reading.fmt.frac) != values).any():
        raise UnsupportedNetwork(f"{label(reading.node)} pads by numbers that its input's format has not")
    return integers


READERS = {"Pad": Reader(read, moves=True), "Where": Reader(read_where, moves=True)}
