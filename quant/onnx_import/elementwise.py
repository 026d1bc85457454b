"""The ONNX operators that work on each element of one tensor alone, as in `quant.onnx_import.operators`.

They are scalings by channel and clips, and what can be made of these exactly.
"""

from __future__ import annotations

import numpy as np

from quant.ir.functions import X, apply
from quant.ir.layer import Clip
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.advice import TWO_DATA, UNKNOWN
from quant.onnx_import.node import Node
from quant.onnx_import.shaping import NO_BOUND
from quant.onnx_import.steps import Activation, Affine, depthwise
from quant.onnx_import.views import Value


def batch_normalization(node: Node) -> None:
    """An Affine step, which `fuse` folds into a convolution beside it."""
    value = node.elements()
    if node.attributes.get("training_mode", 0) or any(node.used(index) for index in range(1, 5)):
        raise NotSupportedError("training mode", "export the network for inference (model.eval() in PyTorch)")
    scale, offset, mean, variance = (node.array(index).astype(np.float64) for index in range(1, 5))
    if any(part.shape != (value.own[0],) for part in (scale, offset, mean, variance)):
        raise NotSupportedError(f"its parameters do not fit its input of {value.own[0]} channels")
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if not (variance + epsilon > 0).all():
        channel = int(np.argmin(variance))
        text = f"{variance[channel]:g} in channel {channel}, epsilon {epsilon:g}"
        raise NotSupportedError(f"its variance is not positive ({text})")
    divisor = np.sqrt(variance + epsilon)
    column = (-1, *[1] * (len(value.own) - 1))
    scales = node.by_channel(value, (scale / divisor).reshape(column))
    shifts = node.by_channel(value, (offset - mean * scale / divisor).reshape(column))
    emit_affine(node, value, scales, shifts)


def emit_affine(node: Node, value: Value, scale: np.ndarray, shift: np.ndarray) -> None:
    """Append x * scale + shift; scale and shift are (C,) of the value's tensor."""
    node.emit_like(Affine(node.name, value.tensor, node.result(value), scale, shift), value)


def inner_affine(node: Node, value: Value, suffix: str, scale: np.ndarray, shift: np.ndarray) -> Value:
    """As `emit_affine`, for a value between the steps of one node."""
    name, output = node.names(suffix, value)
    node.inner(Affine(name, value.tensor, output, scale, shift), node.shape(value))
    return Value(output, value.own, output, value.places)


def constant_operand(node: Node) -> tuple[Value, np.ndarray, int]:
    """Of a node with two inputs: the one that is data, the constant by its channels, and that one's index."""
    place = 1 if node.is_constant(1) else 0
    if not node.is_constant(place) or len(node.inputs) != 2:
        raise NotSupportedError(TWO_DATA)
    value = node.elements(1 - place)
    return value, node.by_channel(value, node.array(place)), place


def with_constant(node: Node) -> None:
    """Sub, Mul or Div of a data tensor and a constant that has one value for each channel."""
    value, constant, place = constant_operand(node)
    one = np.ones_like(constant)
    if node.op == "Sub":
        return emit_affine(node, value, one if place else -one, -constant if place else constant)
    if node.op == "Mul":
        return emit_affine(node, value, constant, 0 * one)
    if place == 0 or not constant.all():
        raise NotSupportedError("division by a data tensor or by zero")
    emit_affine(node, value, 1 / constant, 0 * one)


def where(node: Node) -> None:
    """Data where a constant condition holds and a constant elsewhere, or the other way: a factor and a shift."""
    if not node.is_constant(0):
        raise NotSupportedError(UNKNOWN)
    place = 1 if node.is_constant(2) else 2
    if not node.is_constant(3 - place):
        raise NotSupportedError(TWO_DATA)
    value, chosen = node.elements(place), node.array(0).astype(bool)
    kept = node.by_channel(value, chosen if place == 1 else ~chosen)
    emit_affine(node, value, kept, (1 - kept) * node.by_channel(value, node.array(3 - place)))


def negate(node: Node) -> None:
    """Neg: scaled by -1."""
    value = node.elements()
    ones = np.ones(node.shape(value)[0])
    emit_affine(node, value, -ones, 0 * ones)


def relu(node: Node) -> None:
    """A clip at 0."""
    emit_activation(node, node.elements(), (0.0, None))


def clip(node: Node) -> None:
    """A clip by attributes (before opset 11) or constant inputs."""
    bounds: list[float | None] = []
    for index, key in ((1, "min"), (2, "max")):
        bound = node.number(index, finite=False) if node.has(index) else node.attributes.get(key)
        bounds.append(None if bound is None or abs(bound) > NO_BOUND else float(bound))
    low, high = bounds
    if any(bound is not None and np.isnan(bound) for bound in bounds):
        raise NotSupportedError("a bound is NaN")
    if low is not None and high is not None and low > high:
        raise NotSupportedError(f"its lower bound {low:g} is above its upper bound {high:g}")
    emit_activation(node, node.elements(), (low, high))


def emit_activation(node: Node, value: Value, bounds: Clip) -> None:
    """Append a clip; bounds that bound nothing leave the tensor as it is."""
    if bounds == (None, None):
        return node.rebind(value)
    node.emit_like(Activation(node.name, value.tensor, node.result(value), bounds), value)


def inner_activation(node: Node, value: Value, bounds: Clip) -> Value:
    """A clip between the steps of a node."""
    name, output = node.names("clipped", value)
    node.inner(Activation(name, value.tensor, output, bounds), node.shape(value))
    return Value(output, value.own, output, value.places)


def hard_sigmoid(node: Node) -> None:
    """clip(alpha x + beta, 0, 1)."""
    value = node.elements()
    ones = np.ones(node.shape(value)[0])
    alpha, beta = (float(node.attributes.get(key, default)) for key, default in (("alpha", 0.2), ("beta", 0.5)))
    scaled = inner_affine(node, value, "scaled", alpha * ones, beta * ones)
    emit_activation(node, scaled, (0.0, 1.0))


def leaky_relu(node: Node) -> None:
    """LeakyRelu, PRelu with a constant slope, and Abs: a slope for what is below zero.

    x + (1 - slope) relu(-x) is the same: two depthwise 1x1 convolutions, the second with x as its residual.
    In fixed point what is above zero passes unchanged, and what is below is rounded once.
    """
    value = node.elements()
    channels = node.shape(value)[0]
    if node.op == "PRelu":
        if not node.is_constant(1):
            raise NotSupportedError("its slope is not constant")
        slope = node.by_channel(value, node.array(1))
    else:
        slope = np.full(channels, -1.0 if node.op == "Abs" else float(node.attributes.get("alpha", 0.01)))
    if (slope == 0).all():
        return emit_activation(node, value, (0.0, None))
    if (slope == 1).all():
        return node.rebind(value)
    name, output = node.names("negative", value)
    ones = np.ones(channels)
    below = Affine(name, value.tensor, output, -ones, 0 * ones)
    node.inner(depthwise(below, -ones, 0 * ones, clip=(0.0, None)), node.shape(value))
    weight = (1 - slope).astype(np.float32).reshape(-1, 1, 1, 1)
    zeros = np.zeros(channels, np.float32)
    layer = FloatConv(node.name, output, node.result(value), weight, zeros, Window(), channels, residual=value.tensor)
    node.emit_like(layer, value)
    if (slope == slope[0]).all():
        node.lowering.functions[layer.output] = (value.tensor, apply("LeakyRelu", X, alpha=float(slope[0])))
