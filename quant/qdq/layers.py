"""Single nodes of a quantized file as layers: weights, biases, windows, clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat, clip_bounds, quantize
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv, conv_sums
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.onnx_file import form
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import View, label
from quant.onnx_file.windows import padding, reach_beyond

SUMS = ("Conv", "Gemm", "MatMul")
AVERAGES = ("AveragePool", "GlobalAveragePool", "ReduceMean")
MAXIMA = ("MaxPool", "GlobalMaxPool")


@dataclass
class LayerReader:
    """Makes layers of nodes.

    weight_bits: widths of weights that the file states beside their types.  narrow: whether 8-bit weights of which
    none needs more than 4 bits count as 4-bit ones.  complete: whether biases are rounded to the accumulator's
    unit; notes: one line for each that was.
    """

    view: View
    weight_bits: dict[str, int]
    narrow: bool
    complete: bool
    notes: list[str] = field(default_factory=list)

    def conv(
        self, node: onnx.NodeProto, source: Tensor, output: str, clip: tuple[int, int], residual: str | None,
        added: list[str],
    ) -> tuple[Conv, tuple[int, int, int]]:  # fmt: skip
        """A convolution or fully connected layer, and its output's shape.  added: constants that follow as Add."""
        name = node.name or node.output[0]
        weight, weight_frac, bits = self.weight(node, f"the weight of layer {name}")
        bits = self.weight_bits.get(name, bits)
        shape, values = source.shape, attributes(node)
        if node.op_type == "Conv":
            if weight.ndim != 4:
                raise UnsupportedNetwork(f"{label(node)} has a kernel of {weight.ndim - 2} dimensions, not 2")
            window, _ = read_window(node, shape, (weight.shape[2], weight.shape[3]))
        else:
            if weight.ndim != 2 or weight.shape[1] != np.prod(shape):
                raise UnsupportedNetwork(f"{label(node)} is not x times the transpose of its weight")
            weight, window = weight.reshape(len(weight), *shape), Window(shape[1:])
        groups = int(values.get("group", 1))
        if weight.shape[1] * groups != shape[0]:
            raise BadInput(f"{label(node)} has weights for {weight.shape[1] * groups} channels, its input {shape[0]}")
        inputs = [node.input[2]] if self.view.has(node, 2) else []
        bias = sum(
            (self.bias(bias, name, weight_frac + source.fmt.frac) for bias in inputs + added),
            np.zeros(len(weight), np.int64),
        )
        layer = Conv(name, source.name, output, weight, weight_frac, bits, bias, window, groups, clip, residual,
                     "Conv" if node.op_type == "Conv" else "Gemm")  # fmt: skip
        return layer, (len(weight), *window.output_size(*shape[1:]))

    def weight(self, node: onnx.NodeProto, what: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Integers int64 (O, ...), fractional lengths int64 (O,), and width of a layer's weight."""
        values, view = attributes(node), self.view
        transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not values.get("transB", 0))
        if values.get("transA", 0) or values.get("alpha", 1.0) != 1 or values.get("beta", 1.0) != 1:
            raise UnsupportedNetwork(f"{label(node)} is not x times the transpose of its weight")
        dequantize = view.take(node.input[1])
        if dequantize is not None and dequantize.op_type == "Transpose" and node.op_type != "Conv":
            transposed = not transposed
            dequantize = view.take(dequantize.input[0])
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            raise BadInput(f"{what} is not quantized (no DequantizeLinear)")
        scheme = view.scheme(dequantize, what)
        made, clip = view.take(dequantize.input[0]), None
        if made is not None and made.op_type == "Clip":
            made, clip = view.take(made.input[0]), made
        if made is not None and made.op_type == "QuantizeLinear" and view.is_constant(made.input[0]):
            real = view.array(made.input[0], what)
            theirs = view.scheme(made, what)
            if theirs.fracs.shape != scheme.fracs.shape or (theirs.fracs != scheme.fracs).any():
                raise BadInput(f"{what} is dequantized with another scale than it was quantized with")
            column = along(scheme.fracs, theirs.axis, real.ndim)
            scaled = np.ldexp(real.astype(np.float64), column)
            whole = QFormat(scheme.bits, 0, scheme.signed)
            integers = quantize(scaled, whole)
            if clip is not None:
                integers = np.clip(integers, *self.integer_limits(clip, scheme.zero, whole))
        else:
            integers = scheme.integers(view.array(dequantize.input[0], what))
        bits = scheme.bits
        if not scheme.signed and integers.max(initial=0) >= 1 << bits - 1:
            raise UnsupportedNetwork(f"{what} is of type uint{bits}")
        axis = scheme.axis % integers.ndim
        if transposed:
            integers, axis = integers.T, 1 - axis
        if scheme.fracs.ndim and (axis != 0 or scheme.fracs.shape != integers.shape[:1]):
            raise UnsupportedNetwork(f"{what} has scales {scheme.fracs.shape} that are not one for each output channel")
        if self.narrow and bits == 8 and integers.min(initial=0) >= -8 and integers.max(initial=0) <= 7:
            bits = 4
        return np.ascontiguousarray(integers), np.broadcast_to(scheme.fracs, integers.shape[:1]).copy(), bits

    def bias(self, tensor: str, layer: str, fracs: np.ndarray) -> np.ndarray:
        """A bias, int64 (O,), at the fractional lengths `fracs` of the accumulator."""
        what, view = f"the bias of layer {layer}", self.view
        dequantize = view.take(tensor)
        if dequantize is not None and dequantize.op_type == "DequantizeLinear":
            integers = view.array(dequantize.input[0], what).astype(np.float64).reshape(-1)
            if view.has(dequantize, 2) and view.array(dequantize.input[2], f"the zero point of {what}").any():
                raise BadInput(f"the zero point of {what} is not 0")
            scales = view.array(dequantize.input[1], f"the scale of {what}").reshape(-1)
            own = np.array([form.exponent(float(scale), what) for scale in scales], np.int64)
            real = np.ldexp(integers, -own)
            inexact = f"{what} has another scale than its products (that of the input times that of the weight)"
        elif dequantize is None and view.is_constant(tensor):
            real = view.array(tensor, what).astype(np.float64).reshape(-1)
            inexact = (
                f"{what} is no multiple of its accumulator's unit, the scale of the input times that of the weight"
                f" (2**{-int(fracs.max())})"
            )
        else:
            raise BadInput(f"{what} is not quantized (no DequantizeLinear)")
        if real.shape not in (fracs.shape, (1,)) or not np.isfinite(real).all():
            raise BadInput(f"{what} has {real.size} values, not {fracs.size} finite ones")
        units = np.ldexp(np.broadcast_to(real, fracs.shape), fracs)
        if np.abs(units).max(initial=0) >= 2.0**31:
            raise BadInput(f"{what} does not fit 32 bits in its accumulator's unit")
        rounded = np.rint(units)
        if (rounded != units).any():
            if not self.complete:
                raise BadInput(f"{inexact}; `complete` rounds it")
            self.notes.append(f"{what} is rounded to its accumulator's unit")
        return rounded.astype(np.int64)

    def pool(
        self, node: onnx.NodeProto, source: Tensor, output: str, clip: tuple[int, int]
    ) -> tuple[Pool, tuple[int, int, int]]:
        """A pooling layer and its output's shape."""
        values, average = attributes(node), node.op_type in AVERAGES
        overhang, include = (0, 0), bool(values.get("count_include_pad", 0)) if average else True
        if node.op_type == "ReduceMean":
            self.whole_map(node)
            window = Window(source.shape[1:])
        elif node.op_type.startswith("Global"):
            window = Window(source.shape[1:])
        else:
            kernel = values["kernel_shape"]
            if len(kernel) != 2:
                raise UnsupportedNetwork(f"{label(node)} has a kernel of {len(kernel)} dimensions, not 2")
            window, overhang = read_window(node, source.shape, (kernel[0], kernel[1]))
        if average and any(overhang):  # elements beyond the padded map are never counted
            if include and any(np.subtract(window.pads, (0, 0, *overhang))):
                raise UnsupportedNetwork(f"{label(node)} has ceil_mode and counts padding (count_include_pad = 1)")
            include = False
        if len(node.output) > 1 and node.output[1] in self.view.readers:
            raise UnsupportedNetwork(f"the indices of {label(node)} are used")
        name = node.name or node.output[0]
        layer = Pool(name, source.name, output, "average" if average else "max", window, clip, include)
        return layer, (source.shape[0], *window.output_size(*source.shape[1:]))

    def table(self, node: onnx.NodeProto, source: Tensor, output: str, fmt: QFormat, clip: tuple[int, int]) -> Table:
        """A look-up: a Gather from constants by stored integers, rounded into a format and clipped."""
        entries = self.view.array(node.input[0], f"the entries of {label(node)}").astype(np.float64)
        if attributes(node).get("axis", 0) != 0 or entries.shape != (1 << source.fmt.bits,):
            raise UnsupportedNetwork(f"{label(node)} is no table with an entry for each integer of {source.name}")
        if not np.isfinite(entries).all():
            raise BadInput(f"the entries of {label(node)} are not all finite")
        integers = np.clip(quantize(np.roll(entries, -source.fmt.low), fmt), *clip)
        return Table(node.name or node.output[0], source.name, output, integers, node.doc_string or "a function")

    def resize(self, node: onnx.NodeProto, source: Tensor, output: str) -> tuple[Resize, tuple[int, int, int]]:
        """An enlargement by whole factors, in which every element is copied, and its output's shape."""
        values, view = attributes(node), self.view
        how = [values.get(key, b"").decode() for key in ("coordinate_transformation_mode", "nearest_mode")]
        half_pixel = how[0] in ("", "half_pixel") and how[1] in ("", "round_prefer_floor", "round_prefer_ceil")
        copied = half_pixel or tuple(how) == ("asymmetric", "floor")
        if values.get("mode", b"nearest") != b"nearest" or not copied:
            raise UnsupportedNetwork(f"{label(node)} does not just copy (mode nearest, from asymmetric floor)")
        old = np.array((1, *source.shape), np.float64)
        if view.has(node, 2) and view.array(node.input[2], f"the scales of {label(node)}").size:
            factors = view.array(node.input[2], f"the scales of {label(node)}").astype(np.float64)
        else:
            factors = view.array(node.input[3], f"the sizes of {label(node)}") / old
        if (
            factors.shape != (4,)
            or (factors[:2] != 1).any()
            or (factors != np.rint(factors)).any()
            or factors.min() < 1
        ):
            raise UnsupportedNetwork(
                f"{label(node)} resizes by {factors.tolist()}, not rows and columns by whole factors"
            )
        down, across = (int(factor) for factor in factors[2:])
        layer = Resize(node.name or node.output[0], source.name, output, (down, across))
        return layer, (source.shape[0], source.shape[1] * down, source.shape[2] * across)

    def whole_map(self, node: onnx.NodeProto) -> None:
        """Checks that a ReduceMean is over rows and columns."""
        values = attributes(node)
        axes = self.view.array(node.input[1], "its axes") if self.view.has(node, 1) else values.get("axes", ())
        if sorted(int(axis) % 4 for axis in np.asarray(axes).reshape(-1)) != [2, 3]:
            raise UnsupportedNetwork(f"{label(node)} is over other axes than rows and columns")

    def limits(self, node: onnx.NodeProto) -> tuple[float | None, float | None]:
        """The bounds of a Relu or Clip."""
        if node.op_type == "Relu":
            return 0.0, None
        values = attributes(node)
        found = [values.get("min"), values.get("max")]
        for place in (1, 2):
            if self.view.has(node, place):
                array = self.view.array(node.input[place], f"a bound of {label(node)}")
                found[place - 1] = float(array.reshape(()))
        if any(bound is not None and np.isnan(bound) for bound in found):
            raise BadInput(f"a bound of {label(node)} is not a number")
        return found[0], found[1]

    def integer_limits(self, node: onnx.NodeProto, zero: int, fmt: QFormat) -> tuple[int, int]:
        """The bounds of a Clip of stored integers, for those of a format."""
        low, high = self.limits(node)
        return (
            fmt.low if low is None else max(int(low) - zero, fmt.low),
            fmt.high if high is None else min(int(high) - zero, fmt.high),
        )

    def clip(self, node: onnx.NodeProto, fmt: QFormat) -> tuple[int, int]:
        """The bounds of a Relu or Clip in units of a format into which its result is rounded: they round as well."""
        return clip_bounds(fmt, *self.limits(node))

    def exact_clip(self, node: onnx.NodeProto, fmt: QFormat) -> tuple[int, int]:
        """The bounds of a Relu or Clip of what is a tensor of that format and stays one."""
        limits = self.limits(node)
        for bound in limits:
            if bound is not None and np.isfinite(bound) and not float(np.ldexp(bound, fmt.frac)).is_integer():
                raise BadInput(f"the bound {bound:g} of {label(node)} is no multiple of its tensor's step {fmt.step:g}")
        return clip_bounds(fmt, *limits)

    def reshaped(self, node: onnx.NodeProto, own: tuple[int, ...]) -> tuple[int, ...]:
        """What a Flatten, Reshape, Squeeze or Unsqueeze makes of the shape `own`, both without the batch."""
        size = int(np.prod(own))
        if node.op_type == "Flatten" and attributes(node).get("axis", 1) == 1:
            return (size,)
        if node.op_type == "Reshape":
            target = self.view.array(node.input[1], f"the shape of {label(node)}").reshape(-1)[1:]
            whole = [own[k] if n == 0 and k < len(own) else int(n) for k, n in enumerate(target)]
            known = int(np.prod([n for n in whole if n != -1]))
            whole = [size // max(known, 1) if n == -1 else n for n in whole]
            if int(np.prod(whole)) == size:
                return tuple(whole)
        elif node.op_type in ("Squeeze", "Unsqueeze"):
            stated = attributes(node).get("axes", ())
            if self.view.has(node, 1):
                stated = self.view.array(node.input[1], f"the axes of {label(node)}").reshape(-1)
            rank = 1 + len(own) + (len(stated) if node.op_type == "Unsqueeze" else 0)
            axes = sorted(int(axis) % rank for axis in stated)
            if node.op_type == "Unsqueeze" and 0 not in axes:
                grown = list(own)
                for axis in axes:
                    grown.insert(axis - 1, 1)
                return tuple(grown)
            if axes and 0 not in axes and all(own[axis - 1] == 1 for axis in axes):
                return tuple(n for k, n in enumerate(own, 1) if k not in axes)
        raise UnsupportedNetwork(f"{label(node)} gives its input a shape that does not keep the batch")


def safe_frac(layer: Conv, source: QFormat, residual: QFormat | None, bits: int) -> tuple[int, int]:
    """The finest fractional length in which a layer's sums cannot leave so many bits, and that of its sums."""
    acc = source.frac + layer.weight_frac
    bound = left = None
    if residual is not None:
        bound, left = Bound(residual.low, residual.high), acc - residual.frac
    low, high = conv_sums(layer.weight, layer.bias, Bound(source.low, source.high), bound, left)
    reach = float(np.ldexp(np.maximum(-low, high).astype(np.float64), -acc).max())
    frac = finest = int(acc.max())
    while np.ldexp(reach, frac) > QFormat(bits, 0).high:
        frac -= 1
    return frac, finest


def read_window(
    node: onnx.NodeProto, shape: tuple[int, int, int], kernel: tuple[int, int]
) -> tuple[Window, tuple[int, int]]:
    """The window of a Conv or pool over a map (C, H, W), and the padding (bottom, right) that ceil_mode added to it."""
    values: dict[str, Any] = attributes(node)
    stride, dilation = tuple(values.get("strides", (1, 1))), tuple(values.get("dilations", (1, 1)))
    pads, auto = values.get("pads", (0, 0, 0, 0)), values.get("auto_pad", b"NOTSET").decode()
    begin, end, overhang = [0, 0], [0, 0], [0, 0]
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        begin[axis], end[axis] = padding(auto, shape[1 + axis], span, stride[axis], (pads[axis], pads[axis + 2]))
        if shape[1 + axis] + begin[axis] + end[axis] < span:
            raise BadInput(f"{label(node)} has a kernel that is larger than its padded input")
        if values.get("ceil_mode", 0) and auto == "NOTSET":
            overhang[axis] = reach_beyond(shape[1 + axis], span, stride[axis], begin[axis], end[axis])
    window = Window(
        kernel, (stride[0], stride[1]), (begin[0], begin[1], end[0] + overhang[0], end[1] + overhang[1]),
        (dilation[0], dilation[1]),
    )  # fmt: skip
    return window, (overhang[0], overhang[1])


def along(fracs: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """Fractional lengths as they broadcast over a weight of that rank, int32."""
    return fracs.astype(np.int32).reshape([-1 if place == axis % rank else 1 for place in range(rank)])
