"""Functions of one number, as expressions of ONNX's elementwise operators; as integers they become tables.

A table has one entry for each integer that its input can be, so any function is exact to within the rounding of
its result: SiLU as x * Sigmoid(x), GELU with its Erf, in one look-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quant.ir.fixedpoint import QFormat, quantize

Array = np.ndarray


@dataclass(frozen=True)
class Function:
    """A function of x.

    op: "x", "constant", or the ONNX operator that is applied to `arguments`.  numbers: the operator's attributes,
    or the constant as "value".
    """

    op: str
    arguments: tuple[Function, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()

    @cached_property
    def size(self) -> int:
        """How many operators, constants and x it is written with."""
        return 1 + sum(argument.size for argument in self.arguments)

    def __call__(self, x: Array) -> Array:
        """Its values, float64; infinite where they are beyond float64."""
        if self.op == "x":
            return np.asarray(x, np.float64)
        if self.op == "constant":
            return np.full(np.shape(x), dict(self.numbers)["value"])
        values = [argument(x) for argument in self.arguments]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return np.asarray(OPERATORS[self.op](*values, **dict(self.numbers)))

    def least(self, start: float) -> float:
        """About the least of its values from `start` on, which may be minus infinity."""
        there = np.concatenate([-MAGNITUDES[::-1], [0.0], MAGNITUDES])
        return float(self(there[there >= start]).min())

    def of(self, inner: Function) -> Function:
        """The function of what `inner` gives."""
        if self.op == "x":
            return inner
        return Function(self.op, tuple(argument.of(inner) for argument in self.arguments), self.numbers)

    def __str__(self) -> str:
        if self.op == "x":
            return "x"
        if self.op == "constant":
            return f"{dict(self.numbers)['value']:g}"
        if self.op in SIGNS:
            left, right = (f"({part})" if part.op in SIGNS else str(part) for part in self.arguments)
            return f"{left} {SIGNS[self.op]} {right}"
        details = [str(part) for part in self.arguments] + [f"{key} {value:g}" for key, value in self.numbers]
        return f"{self.op}({', '.join(details)})"


X = Function("x")
MOST_PARTS = 200
"""Largest function that others go into: x * Sigmoid(x) of itself doubles with every step."""
MAGNITUDES = np.logspace(-6, 4, 2001)
"""Where a function is looked at, on both sides of zero."""
SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}


def constant(value: float) -> Function:
    """The same number for every x."""
    return Function("constant", (), (("value", float(value)),))


def apply(op: str, *arguments: Function, **numbers: float) -> Function:
    """An operator of `OPERATORS`, applied."""
    return Function(op, arguments, tuple(sorted((key, float(value)) for key, value in numbers.items())))


def affine(scale: float, shift: float) -> Function:
    """x * scale + shift."""
    scaled = X if scale == 1 else apply("Mul", X, constant(scale))
    return scaled if shift == 0 else apply("Add", scaled, constant(shift))


def clipped(low: float | None, high: float | None) -> Function:
    """x between bounds."""
    function = X if low is None else apply("Max", X, constant(low))
    return function if high is None else apply("Min", function, constant(high))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def elu(x: Array, alpha: float = 1.0) -> Array:
    """alpha * (exp(x) - 1) below zero."""
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


OPERATORS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Abs": np.abs,
    "Atan": np.arctan,
    "Celu": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(alpha * np.expm1(np.minimum(x, 0) / alpha), 0),
    "Cos": np.cos,
    "Elu": elu,
    "Erf": np.vectorize(math.erf, otypes=[np.float64]),
    "Exp": np.exp,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "Selu": lambda x, alpha=1.6732632423543772, gamma=1.0507009873554805: gamma * elu(x, alpha),
    "Sigmoid": sigmoid,
    "Sin": np.sin,
    "Softplus": lambda x: np.logaddexp(0, x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Tanh": np.tanh,
    "ThresholdedRelu": lambda x, alpha=1.0: np.where(x > alpha, x, 0),
}
"""What each operator computes, with ONNX's default attributes."""

SILU = apply("Mul", X, apply("Sigmoid", X))
MISH = apply("Mul", X, apply("Tanh", apply("Softplus", X)))


def gelu(tanh: bool) -> Function:
    """GELU, or its approximation by tanh."""
    if tanh:
        cubic = apply("Add", X, apply("Mul", constant(0.044715), apply("Mul", X, apply("Mul", X, X))))
        bell = apply("Tanh", apply("Mul", constant(math.sqrt(2 / math.pi)), cubic))
    else:
        bell = apply("Erf", apply("Mul", X, constant(math.sqrt(0.5))))
    return apply("Mul", apply("Mul", X, constant(0.5)), apply("Add", bell, constant(1)))


def table(function: Function, source: QFormat, target: QFormat) -> Array:
    """The function on integers: int64 (2**bits,), for each integer of `source`, from its lowest on, that of `target`.

    The value is rounded half to even and saturates.  Raises ValueError where the function has none.
    """
    x = np.arange(source.low, source.high + 1) * source.step
    values = function(x)
    if np.isnan(values).any():
        raise ValueError(f"{function} has no value at {x[np.isnan(values)][0]:g}")
    limit = float(np.finfo(np.float64).max) / 2**64
    return quantize(np.clip(values, -limit, limit), target)
