"""The ONNX operators that combine tensors element by element, as in `quant.onnx_import.operators`.

They are sums, and what can be made of sums and clips exactly.  Constants among the tensors go into one scaling.
"""

from __future__ import annotations

import numpy as np

from quant.ir.functions import apply
from quant.kinds.add import FloatAdd
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.ancestry import common
from quant.onnx_import.elementwise import emit_activation, emit_affine, inner_activation, inner_affine, with_constant
from quant.onnx_import.node import Node
from quant.onnx_import.views import Value, every_element


def parts(node: Node) -> tuple[list[Value], list[np.ndarray]]:
    """The inputs of a node that are data, and those that are constant."""
    indices = range(len(node.inputs))
    constants = [node.array(index) for index in indices if node.is_constant(index)]
    return [node.data(index) for index in indices if not node.is_constant(index)], constants


def add(node: Node) -> None:
    """Add, Sum, Mean: a FloatAdd for each data tensor but one; an Affine step for constants and the mean's division."""
    values, constants = parts(node)
    scaled = bool(constants) or node.op == "Mean"
    if len(values) == 1 and not scaled:
        return node.rebind(values[0])
    total = values[0]
    for place, value in enumerate(values[1:], 2):
        total = added(node, total, value, place == len(values) and not scaled)
    if scaled:
        total = node.every_element(total)
        ones = np.ones(node.shape(total)[0])
        shift = sum((node.by_channel(total, constant) for constant in constants), 0 * ones)
        share = 1 / len(node.inputs) if node.op == "Mean" else 1.0
        emit_affine(node, total, share * ones, share * shift)


def operands(node: Node, one: Value, other: Value) -> tuple[Value, Value]:
    """Two values that lie in the same order in tensors of one shape, to which they are broadcast."""
    if one.own != other.own:
        one, other = broadcast(node, one, other)
    alike = node.shape(one) == node.shape(other)
    if alike and one.places is None and other.places is None:
        return one, other
    alike = alike and np.array_equal(one.where(), other.where()) and every_element(one.places, node.shape(one))
    if not alike:
        one, other = node.lowering.arrange(one), node.lowering.arrange(other)
    return one, other


def broadcast(node: Node, one: Value, other: Value) -> tuple[Value, Value]:
    """Two values in the shape that ONNX's broadcasting gives both: copies of channels, rows or columns."""
    refused = NotSupportedError(f"its inputs differ in shape: {one.own} and {other.own}")
    try:
        own = np.broadcast_shapes(one.own, other.own)
    except ValueError:
        raise refused from None
    if len(one.own) != len(other.own):  # the batch of one would meet data of the other
        raise refused
    return copied(node, one, own, other), copied(node, other, own, one)


def copied(node: Node, value: Value, own: tuple[int, ...], beside: Value) -> Value:
    """The value broadcast to a shape: a tensor of its own where it is not of that shape yet.

    It lies as `beside` does, what it meets, where that is of the shape already: channels last, for instance.
    """
    if value.own == own:
        return value
    places, name = np.broadcast_to(value.where(), own), f"{node.name}.broadcast"
    shape = node.shape(beside)
    if beside.own != own or beside.places is None or not every_element(beside.places, shape):
        return node.arrange_inner(Value(value.tensor, own, name, places))
    laid = np.empty(places.size, np.int64)
    laid[beside.places.reshape(-1)] = places.reshape(-1)
    moved = node.arrange_inner(Value(value.tensor, shape, name, laid.reshape(shape)))
    return Value(moved.tensor, own, name, beside.places)


def added(node: Node, one: Value, other: Value, last: bool) -> Value:
    """The sum of two values; `last`: it is the node's output."""
    one, other = operands(node, one, other)
    found = common(node.lowering.functions, one.tensor, other.tensor)
    name, output = (node.name, node.result(one)) if last else node.names("sum", one)
    layer = FloatAdd(name, (one.tensor, other.tensor), output)
    if last:
        node.emit_like(layer, one)
    else:
        node.inner(layer, node.shape(one))
    if found is not None:  # stays a sum, unless it turns out to be a part of a function that is none
        source, left, right = found
        node.lowering.functions[output] = (source, apply("Add", left, right))
    return one if last else Value(output, one.own, output, one.places)


def subtract(node: Node) -> None:
    """a - b = a + (-1) b, or an Affine step where one operand is constant."""
    if node.is_constant(0) or node.is_constant(1):
        return with_constant(node)
    added(node, node.data(0), negative(node, node.elements(1)), True)


def negative(node: Node, value: Value) -> Value:
    """(-1) x, between the steps of a node."""
    ones = np.ones(node.shape(value)[0])
    return inner_affine(node, value, "negative", -ones, 0 * ones)


def extreme(node: Node) -> None:
    """Max and Min: a clip for a constant number, else max(a, b) = a + max(b - a, 0).

    A constant for each channel is taken off before the clip and added behind it.  min(a, b) is a + min(b - a, 0).
    """
    values, constants = parts(node)
    total = values[0]
    if len(node.inputs) == 1:
        return node.rebind(total)
    zero = (0.0, None) if node.op == "Max" else (None, 0.0)
    for place, value in enumerate(values[1:], 2):
        one, other = operands(node, total, value)
        difference = added(node, other, negative(node, one), False)
        clipped = inner_activation(node, difference, zero)
        total = added(node, one, clipped, place == len(values) and not constants)
    if not constants:
        return
    total = node.every_element(total)
    combined = np.maximum if node.op == "Max" else np.minimum
    bounds = combined.reduce([node.by_channel(total, constant) for constant in constants])
    if (bounds == bounds[0]).all():
        bound = float(bounds[0])
        return emit_activation(node, total, (bound, None) if node.op == "Max" else (None, bound))
    ones = np.ones_like(bounds)
    lowered = inner_affine(node, total, "lowered", ones, -bounds)
    emit_affine(node, inner_activation(node, lowered, zero), ones, bounds)
