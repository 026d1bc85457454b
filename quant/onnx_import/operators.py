"""One function for each supported ONNX operator: it appends steps or raises NotSupportedError with the reason.

Here are the operators that compute; those that only move data are in `quant.onnx_import.shaping`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quant.graph import Clip, FloatAdd, FloatConv, FloatPool
from quant.network import Window
from quant.onnx_import.lower import Node, NotSupportedError, Value
from quant.onnx_import.shaping import concat, identity, pad, reshape, slice_, softmax
from quant.onnx_import.steps import Activation, Affine
from quant.onnx_import.windows import read_window

NO_BOUND = 3e38  # exporters write the largest float32 where they mean "no bound"


def conv(node: Node) -> None:
    """A FloatConv; without bias it gets one of zeros."""
    value = node.map()
    shape = node.shape(value)
    weight = node.array(1).astype(np.float32)
    if weight.ndim != 4:
        raise NotSupportedError(f"its kernel has {weight.ndim - 2} dimensions, only 2 are supported")
    groups = int(node.attributes.get("group", 1))
    bias = node.array(2).astype(np.float32) if node.has(2) else np.zeros(len(weight), np.float32)
    if weight.shape[1] * groups != shape[0] or len(weight) % groups or bias.shape != weight.shape[:1]:
        text = f"weights {weight.shape}, bias {bias.shape}, groups {groups}"
        raise NotSupportedError(f"{text} do not fit its input of {shape[0]} channels")
    window, _ = read_window(node, shape, (weight.shape[2], weight.shape[3]))
    node.emit(
        FloatConv(node.name, value.tensor, node.output, weight, bias, window, groups),
        (len(weight), *window.output_size(*shape[1:])),
    )


def gemm(node: Node) -> None:
    """alpha * x B + beta * C as a fully connected layer."""
    if node.attributes.get("transA", 0):
        raise NotSupportedError("transA = 1")
    matrix, alpha = node.array(1), float(node.attributes.get("alpha", 1.0))
    if alpha != 1:
        matrix = matrix.astype(np.float64) * alpha
    if not node.attributes.get("transB", 0):
        matrix = matrix.T
    bias = np.zeros(len(matrix))
    if node.has(2):
        constant = node.array(2).astype(np.float64)
        if constant.size not in (1, len(matrix)):
            raise NotSupportedError(f"its C has the shape {constant.shape}")
        bias = bias + constant.reshape(-1) * float(node.attributes.get("beta", 1.0))
    fully_connected(node, matrix, bias)


def matmul(node: Node) -> None:
    """x times a constant matrix as a fully connected layer; a bias added to it later folds in."""
    matrix = node.array(1)
    if matrix.ndim != 2:
        raise NotSupportedError(f"its constant has {matrix.ndim} dimensions")
    fully_connected(node, matrix.T, np.zeros(matrix.shape[1]))


def fully_connected(node: Node, matrix: np.ndarray, bias: np.ndarray) -> None:
    """matrix: (O, K); K numbers are the whole map in the order channel, row, column."""
    value = node.data()
    if len(value.own) != 1:
        raise NotSupportedError("its input is not flattened")
    shape = node.shape(value)
    if matrix.shape[1] != value.own[0]:
        raise NotSupportedError(f"weights for {matrix.shape[1]} inputs do not fit its input of {value.own[0]}")
    weight = np.ascontiguousarray(matrix.reshape(len(matrix), *shape), np.float32)
    node.emit(
        FloatConv(
            node.name, value.tensor, node.output, weight, bias.astype(np.float32), Window(shape[1:]), 1, op="Gemm"
        ),
        (len(matrix),),
    )


def max_pool(node: Node) -> None:
    """A FloatPool; what ceil_mode reaches beyond the map is padding, which never wins."""
    if node.used(1):
        raise NotSupportedError("its output Indices is used")
    value = node.map()
    kernel = node.attributes["kernel_shape"]
    window, _ = read_window(node, node.shape(value), tuple(kernel), ceil=bool(node.attributes.get("ceil_mode", 0)))
    emit_pool(node, value, "max", window, True)


def average_pool(node: Node) -> None:
    """A FloatPool; refused where ceil_mode leaves the count of a window's elements to the runtime."""
    value = node.map()
    kernel = node.attributes["kernel_shape"]
    window, overhang = read_window(
        node, node.shape(value), tuple(kernel), ceil=bool(node.attributes.get("ceil_mode", 0))
    )
    include = bool(node.attributes.get("count_include_pad", 0))
    bottom, right = overhang
    padded = any(np.subtract(window.pads, (0, 0, bottom, right)))
    if any(overhang) and include and padded:
        raise NotSupportedError("ceil_mode with padding that counts (count_include_pad = 1)")
    # elements beyond the padded map, which ceil_mode lets a window reach, are never counted
    emit_pool(node, value, "average", window, (include or not padded) and not any(overhang))


def global_average_pool(node: Node) -> None:
    """An average over the whole map."""
    value = node.map()
    emit_pool(node, value, "average", Window(node.shape(value)[1:]), True)


def global_max_pool(node: Node) -> None:
    """A maximum over the whole map."""
    value = node.map()
    emit_pool(node, value, "max", Window(node.shape(value)[1:]), True)


def reduce_mean(node: Node) -> None:
    """A mean over rows and columns is an average over the whole map."""
    value = node.map()
    axes = node.integers(1) if node.has(1) else [int(axis) for axis in node.attributes.get("axes", [])]
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise NotSupportedError(f"mean over the axes {axes}; (2, 3) is supported")
    emit_pool(node, value, "average", Window(node.shape(value)[1:]), True, bool(node.attributes.get("keepdims", 1)))


def emit_pool(node: Node, value: Value, kind: str, window: Window, include: bool, keep: bool = True) -> None:
    """Append a pool, whose output is (C,) where `keep` is false."""
    channels, height, width = node.shape(value)
    own = (channels, *window.output_size(height, width)) if keep else (channels,)
    node.emit(
        FloatPool(
            node.name,
            value.tensor,
            node.output,
            "max" if kind == "max" else "average",
            window,
            count_include_pad=include,
        ),
        own,
    )


def batch_normalization(node: Node) -> None:
    """An Affine step, which `fuse` folds into the convolution before it."""
    value = node.data()
    if node.attributes.get("training_mode", 0) or any(node.used(index) for index in range(1, 5)):
        raise NotSupportedError("training mode")
    scale, offset, mean, variance = (node.array(index).astype(np.float64) for index in range(1, 5))
    if any(part.shape != (node.shape(value)[0],) for part in (scale, offset, mean, variance)):
        raise NotSupportedError(f"its parameters do not fit its input of {node.shape(value)[0]} channels")
    divisor = np.sqrt(np.maximum(variance + float(node.attributes.get("epsilon", 1e-5)), 0))
    if not divisor.all():
        raise NotSupportedError("its variance is not positive")
    emit_affine(node, value, scale / divisor, offset - mean * scale / divisor)


def emit_affine(node: Node, value: Value, scale: np.ndarray, shift: np.ndarray) -> None:
    """Append x * scale + shift; scale and shift are (C,) or broadcast to it."""
    channels = node.shape(value)[0]
    if value.own[0] != channels:
        raise NotSupportedError("works on a flattened map")
    scale, shift = (np.broadcast_to(np.asarray(part, np.float64), (channels,)) for part in (scale, shift))
    node.emit(Affine(node.name, value.tensor, node.output, scale, shift), value.own)


def add(node: Node) -> None:
    """Add, and Sum of two: a FloatAdd, or an Affine step where one operand is constant."""
    if node.is_constant(0) or node.is_constant(1):
        return with_constant(node)
    if len(node.inputs) != 2:
        raise NotSupportedError(f"sum of {len(node.inputs)} tensors, 2 are supported")
    one, other = node.data(0), node.data(1)
    if one.own != other.own or node.shape(one) != node.shape(other):
        raise NotSupportedError(f"its inputs differ in shape: {one.own} and {other.own}")
    node.emit(FloatAdd(node.name, (one.tensor, other.tensor), node.output), one.own)


def with_constant(node: Node) -> None:
    """Add, Sub, Mul or Div of a data tensor and a constant that has one value for each channel."""
    place = 1 if node.is_constant(1) else 0
    if not node.is_constant(place) or len(node.inputs) != 2:
        raise NotSupportedError("of two data tensors")
    value = node.data(1 - place)
    constant = per_channel(node, place, value)
    one = np.ones_like(constant)
    if node.op in ("Add", "Sum"):
        return emit_affine(node, value, one, constant)
    if node.op == "Sub":
        return emit_affine(node, value, one if place else -one, -constant if place else constant)
    if node.op == "Mul":
        return emit_affine(node, value, constant, 0 * one)
    if place == 0 or not constant.all():
        raise NotSupportedError("division by a data tensor or by zero")
    emit_affine(node, value, 1 / constant, 0 * one)


def per_channel(node: Node, index: int, value: Value) -> np.ndarray:
    """The constant as float64 (C,).  Raises NotSupportedError where it is not one value for each channel."""
    array = node.array(index).astype(np.float64)
    shape = node.shape(value)
    try:
        whole = np.broadcast_to(array, (1, *value.own)).reshape(shape)
    except ValueError:
        raise NotSupportedError(f"its constant has the shape {array.shape}") from None
    if (whole != whole[:, :1, :1]).any():
        raise NotSupportedError("its constant differs from place to place within a channel")
    return whole[:, 0, 0]


def relu(node: Node) -> None:
    """A clip at 0."""
    emit_activation(node, (0.0, None))


def clip(node: Node) -> None:
    """A clip by attributes (before opset 11) or constant inputs."""
    bounds: list[float | None] = []
    for index, key in ((1, "min"), (2, "max")):
        bound = node.array(index, finite=False).item() if node.has(index) else node.attributes.get(key)
        bounds.append(None if bound is None or abs(bound) > NO_BOUND else float(bound))
    low, high = bounds
    if any(bound is not None and np.isnan(bound) for bound in bounds):
        raise NotSupportedError("a bound is NaN")
    if low is not None and high is not None and low > high:
        raise NotSupportedError(f"its lower bound {low:g} is above its upper bound {high:g}")
    emit_activation(node, (low, high))


def emit_activation(node: Node, bounds: Clip) -> None:
    """Append a clip; bounds that bound nothing leave the tensor as it is."""
    value = node.data()
    if bounds == (None, None):
        return node.rebind(value)
    node.emit(Activation(node.name, value.tensor, node.output, bounds), value.own)


HANDLERS: dict[str, Callable[[Node], None]] = {
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": identity,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": with_constant,
    "Dropout": identity,
    "Flatten": reshape,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Identity": identity,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": with_constant,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Slice": slice_,
    "Softmax": softmax,
    "Squeeze": reshape,
    "Sub": with_constant,
    "Sum": add,
    "Unsqueeze": reshape,
}
