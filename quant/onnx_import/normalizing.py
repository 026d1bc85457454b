"""Local response normalization, x / (bias + alpha / size * s)^beta with s a sum of squares over neighbouring channels.

With z = alpha / (size * bias) * s it is x times f(z) = bias^-beta * (1 + z)^-beta, a product with a function of one
number.  Tables have 8 bits of input, which are too few for z: f falls by half while z goes from 0 to 1.5, and z goes
to 20 and beyond.  So both ranges are cut in two, each with a step of its own.  A square below z = 1 goes to one map,
what is above it to another, in steps SHARE times as large; a convolution adds up either with its neighbours.  Of the
sum what is below 1 goes to one table, what is above it to another, and f is what both give together.

That loses 1.3 dB more than 8-bit data and results do where z reaches 19, nothing where it stays below 1, and 11 dB
where it reaches 300.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.ir.functions import Function, X, apply, clipped, constant
from quant.ir.layer import Clip
from quant.ir.tensor import Shape
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.multiply import FloatMultiply
from quant.kinds.table import FloatTable
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.node import Node
from quant.onnx_import.views import Value

SHARE = 16
"""Steps of squares above 1 are so many times those of squares below it."""


@dataclass(frozen=True)
class LocalNorm:
    """x / (bias + alpha * mean)^beta with the mean of the squares of a channel and of those before and after it, as
    many as are said, those that there are not as zeros."""

    before: int
    after: int
    alpha: float
    beta: float
    bias: float

    @property
    def size(self) -> int:
        """Channels of a mean."""
        return self.before + 1 + self.after


def lrn(node: Node) -> None:
    """LRN, as ONNX counts the channels around one."""
    size = int(node.attributes["size"])
    alpha, beta, bias = (float(node.attributes.get(*of)) for of in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    local_norm(node, LocalNorm((size - 1) // 2, size // 2, alpha, beta, bias))


def local_norm(node: Node, norm: LocalNorm) -> None:
    """Two tables of squares, two convolutions over channels with a table each, their sum, a product with the node's
    first input."""
    value = node.map()
    size, alpha, beta, bias = norm.size, norm.alpha, norm.beta, norm.bias
    if size < 1 or alpha < 0 or bias <= 0:
        raise NotSupportedError(f"its size is {size}, alpha {alpha:g}, bias {bias:g}: it may divide by zero")
    shape = node.shape(value)
    square = apply("Mul", apply("Mul", X, X), constant(alpha / (size * bias)))
    below = _inner(node, value, "below", clipped(None, 1).of(square))
    above = _inner(node, value, "above", apply("Mul", _above(square, 1.0), constant(1 / SHARE)))
    name, squares = node.names("squares", value)
    node.inner(Concat(name, (below, above), squares), (2 * shape[0], *shape[1:]))
    band = _band(shape[0], norm)
    weight = np.concatenate([band, SHARE * band], axis=1)[:, :, None, None].astype(np.float32)
    near = apply("Pow", apply("Add", clipped(0, None), constant(1)), constant(-beta))
    far = apply("Pow", apply("Add", clipped(0, None), constant(2)), constant(-beta))
    terms = (
        ("near", 0.0, (0.0, 1.0), apply("Mul", _above(near, 2**-beta), constant(bias**-beta))),
        ("far", -1.0, (0.0, None), apply("Mul", far, constant(bias**-beta))),
    )
    found = [_term(node, value, squares, weight, term) for term in terms]
    name, factor = node.names("factor", value)
    node.inner(FloatAdd(name, (found[0], found[1]), factor), shape)
    node.emit_like(FloatMultiply(node.name, (value.tensor, factor), node.result(value)), value)


def _inner(node: Node, value: Value, suffix: str, function: Function) -> str:
    """Append a table of the value; its result."""
    name, output = node.names(suffix, value)
    node.inner(FloatTable(name, value.tensor, output, function), node.shape(value))
    return output


def _above(function: Function, level: float) -> Function:
    """What a function has above a level."""
    return apply("Sub", apply("Max", function, constant(level)), constant(level))


def _band(channels: int, norm: LocalNorm) -> np.ndarray:
    """Which channels (columns) are neighbours of each (rows): bool (channels, channels)."""
    distance = np.arange(channels) - np.arange(channels)[:, None]
    return (distance >= -norm.before) & (distance <= norm.after)


def _term(node: Node, value: Value, squares: str, weight: np.ndarray, term: tuple[str, float, Clip, Function]) -> str:
    """Append a part of the sums, clipped, and a table of it; the table's result."""
    suffix, shift, clip, function = term
    shape: Shape = node.shape(value)
    bias = np.full(shape[0], shift, np.float32)
    name, total = node.names(f"{suffix}.sum", value)
    node.inner(FloatConv(name, squares, total, weight, bias, Window(), 1, clip), shape)
    name, output = node.names(suffix, value)
    node.inner(FloatTable(name, total, output, function), shape)
    return output
