"""Reading the convolution or fully connected layer of a quantized file: its weight, its bias, its window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat, quantize
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv.layer import Conv
from quant.onnx_file import form
from quant.onnx_file.clips import integer_limits
from quant.onnx_file.nodes import attributes, name_of
from quant.onnx_file.view import View, label
from quant.onnx_file.windows import read_window

OPERATORS = ("Conv", "Gemm", "MatMul")


def read_convolution(
    view: View,
    node: onnx.NodeProto,
    source: Tensor,
    output: str,
    clip: tuple[int, int],
    residual: str | None,
    added: Sequence[str],
) -> Conv:
    """The layer of a node of `OPERATORS`.

    source: what it reads; added: constants that are added to its result, parts of its bias.
    """
    name, values, shape = name_of(node), attributes(node), source.shape
    weight, weight_frac, bits = read_weight(view, node, f"the weight of layer {name}")
    bits = view.weight_bits.get(name, bits)
    if node.op_type == "Conv":
        if weight.ndim != 4:
            raise UnsupportedNetwork(f"{label(node)} has a kernel of {weight.ndim - 2} dimensions, not 2")
        window, _ = read_window(values, shape, (weight.shape[2], weight.shape[3]))
    else:
        if weight.ndim != 2 or weight.shape[1] != np.prod(shape):
            raise UnsupportedNetwork(f"{label(node)} is not x times the transpose of its weight")
        weight, window = weight.reshape(len(weight), *shape), Window(shape[1:])
    bias = np.zeros(len(weight), np.int64)
    for tensor in [*([node.input[2]] if view.has(node, 2) else []), *added]:
        bias += read_bias(view, tensor, name, weight_frac + source.fmt.frac)
    return Conv(
        name=name,
        input=source.name,
        output=output,
        weight=weight,
        weight_frac=weight_frac,
        weight_bits=bits,
        bias=bias,
        window=window,
        groups=int(values.get("group", 1)),
        clip=clip,
        residual=residual,
        op="Conv" if node.op_type == "Conv" else "Gemm",
    )


def read_weight(view: View, node: onnx.NodeProto, what: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Integers (O, ...), fractional lengths int64 (O,), and width of a layer's weight."""
    values = attributes(node)
    transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not values.get("transB", 0))
    if values.get("transA", 0) or values.get("alpha", 1.0) != 1 or values.get("beta", 1.0) != 1:
        raise UnsupportedNetwork(f"{label(node)} is not x times the transpose of its weight")
    dequantize = view.take(node.input[1])
    if dequantize is not None and dequantize.op_type == "Transpose" and node.op_type != "Conv":
        if attributes(dequantize).get("perm", [1, 0]) != [1, 0]:
            raise UnsupportedNetwork(f"{label(dequantize)} does not change rows for columns")
        transposed = not transposed
        dequantize = view.take(dequantize.input[0])
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        raise BadInput(f"{what} is not quantized (no DequantizeLinear)")
    scheme = view.scheme(dequantize, what)
    integers = stored_integers(view, dequantize, what)
    if integers.ndim < 2:
        raise UnsupportedNetwork(f"{what} has the shape {integers.shape}")
    bits = scheme.bits
    if not scheme.signed and integers.max(initial=0) >= 1 << bits - 1:
        raise UnsupportedNetwork(f"{what} is of type uint{bits}")
    integers, axis = integers.astype(QFormat(bits, 0).dtype, copy=False), scheme.axis % integers.ndim
    if transposed:
        integers, axis = integers.T, 1 - axis
    if scheme.fracs.ndim and (axis != 0 or scheme.fracs.shape != integers.shape[:1]):
        raise UnsupportedNetwork(f"{what} has scales {scheme.fracs.shape} that are not one for each output channel")
    if view.foreign and bits == 8 and integers.min(initial=0) >= -8 and integers.max(initial=0) <= 7:
        bits = 4
    return np.ascontiguousarray(integers), np.broadcast_to(scheme.fracs, integers.shape[:1]).copy(), bits


def stored_integers(view: View, dequantize: onnx.NodeProto, what: str) -> np.ndarray:
    """The integers of a weight: a constant, or what a QuantizeLinear makes of one, through a Clip perhaps."""
    scheme = view.scheme(dequantize, what)
    made, clip = view.take(dequantize.input[0]), None
    if made is not None and made.op_type == "Clip":
        made, clip = view.take(made.input[0]), made
    if made is None or made.op_type != "QuantizeLinear" or not view.is_constant(made.input[0]):
        return scheme.integers(view.array(dequantize.input[0], what))
    real, theirs = view.array(made.input[0], what), view.scheme(made, what)
    if theirs.fracs.shape != scheme.fracs.shape or (theirs.fracs != scheme.fracs).any():
        raise BadInput(f"{what} is dequantized with another scale than it was quantized with")
    if not np.isfinite(real).all():
        raise BadInput(f"{what} has NaN or infinite values")
    if scheme.fracs.size not in (1, real.shape[theirs.axis] if -real.ndim <= theirs.axis < real.ndim else 0):
        raise BadInput(f"{what} has {scheme.fracs.size} scales along axis {theirs.axis} of its shape {real.shape}")
    scaled = np.ldexp(real.astype(np.float64), along(scheme.fracs, theirs.axis, real.ndim))
    whole = QFormat(scheme.bits, 0, scheme.signed)
    integers = quantize(scaled, whole)
    return integers if clip is None else np.clip(integers, *integer_limits(view, clip, scheme.zero, whole))


def read_bias(view: View, tensor: str, layer: str, fracs: np.ndarray) -> np.ndarray:
    """A bias, int64 (O,), at the fractional lengths `fracs` of the accumulator."""
    what = f"the bias of layer {layer}"
    dequantize = view.take(tensor)
    if dequantize is not None and dequantize.op_type == "DequantizeLinear":
        integers = view.array(dequantize.input[0], what).astype(np.float64).reshape(-1)
        if view.has(dequantize, 2) and view.array(dequantize.input[2], f"the zero point of {what}").any():
            raise BadInput(f"the zero point of {what} is not 0")
        scales = view.array(dequantize.input[1], f"the scale of {what}").reshape(-1)
        if scales.size not in (1, integers.size):
            raise BadInput(f"{what} has {integers.size} values and {scales.size} scales")
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
        if not view.complete:
            raise BadInput(f"{inexact}; `--complete` rounds it")
        view.notes.append(f"{what} is rounded to its accumulator's unit")
    return rounded.astype(np.int64)


def along(fracs: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """Fractional lengths as they broadcast over a weight of that rank, int32."""
    return fracs.astype(np.int32).reshape([-1 if place == axis % rank else 1 for place in range(rank)])
