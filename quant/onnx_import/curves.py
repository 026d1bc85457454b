"""Functions of single elements that are no clips, and products of such: tables, as in `quant.onnx_import.operators`.

What is made of one tensor element by element, x * Sigmoid(x) for instance, is one function of it and one table:
`Lowering.functions` knows of every tensor from which one it was made so, and how.
"""

from __future__ import annotations

from quant.ir.functions import MISH, SILU, Function, X, apply, constant, gelu
from quant.kinds.multiply import FloatMultiply
from quant.kinds.table import FloatTable
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.advice import TWO_DATA
from quant.onnx_import.ancestry import common
from quant.onnx_import.combining import operands
from quant.onnx_import.elementwise import with_constant
from quant.onnx_import.node import Node
from quant.onnx_import.views import Value

DEFAULTS: dict[str, dict[str, float]] = {
    "Atan": {},
    "Celu": {"alpha": 1.0},
    "Cos": {},
    "Elu": {"alpha": 1.0},
    "Erf": {},
    "Exp": {},
    "HardSwish": {},
    "Selu": {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805},
    "Sigmoid": {},
    "Sin": {},
    "Softplus": {},
    "Softsign": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}
"""Operators that become tables as they are, with their attributes and what these are where they are not given."""


def curve(node: Node) -> None:
    """One of DEFAULTS."""
    given = {key: float(node.attributes.get(key, value)) for key, value in DEFAULTS[node.op].items()}
    emit_table(node, node.elements(), apply(node.op, X, **given))


def composed(node: Node) -> None:
    """Operators that are written with others: Gelu, Mish, Swish."""
    function = MISH
    if node.op == "Gelu":
        function = gelu(node.attributes.get("approximate", b"none") == b"tanh")
    elif node.op == "Swish":
        alpha = float(node.attributes.get("alpha", 1.0))
        function = SILU if alpha == 1 else apply("Mul", X, apply("Sigmoid", apply("Mul", X, constant(alpha))))
    emit_table(node, node.elements(), function)


def power(node: Node) -> None:
    """x to the power of a whole number from 1 on."""
    if not node.is_constant(1):
        raise NotSupportedError("its exponent is not one constant")
    exponent = node.number(1)
    if exponent < 1 or exponent != int(exponent):
        raise NotSupportedError(f"its exponent is {exponent:g}; whole numbers from 1 on are supported")
    value = node.elements()
    if exponent == 1:
        return node.rebind(value)
    emit_table(node, value, apply("Pow", X, constant(exponent)))


def emit_table(node: Node, value: Value, function: Function) -> None:
    """Append a table of a function of the value."""
    node.emit_like(FloatTable(node.name, value.tensor, node.result(value), function), value)


def multiply(node: Node) -> None:
    """Mul and Div: by a constant a scaling; of two functions of one tensor a table; of other tensors a product."""
    if node.is_constant(0) or node.is_constant(1) or len(node.inputs) != 2:
        return with_constant(node)
    left, right = node.data(0), node.data(1)
    if left.own == right.own:
        left, right = operands(node, left, right)
        found = common(node.lowering.functions, left.tensor, right.tensor)
        if found is not None:
            source, one, other = found
            root = Value(source, left.own, source, left.places)
            return emit_table(node, root, apply(node.op, one, other))
    if node.op == "Div":
        raise NotSupportedError(TWO_DATA)
    emit_product(node, left, right)


def emit_product(node: Node, left: Value, right: Value) -> None:
    """Append a product of two tensors of one shape, or of a map and one number for each channel, on either side.

    What is broadcast otherwise is copied first, as in sums.
    """
    whole, gate = (right, left) if gates(left, right) and not gates(right, left) else (left, right)
    if gates(gate, whole):
        whole, gate = node.lowering.arrange(whole), node.lowering.arrange(gate)
    else:
        whole, gate = operands(node, whole, gate)
    node.emit_like(FloatMultiply(node.name, (whole.tensor, gate.tensor), node.result(whole)), whole)


def gates(value: Value, whole: Value) -> bool:
    """Whether a value is one number for each channel of another."""
    return value.own == (whole.own[0], *(1 for _ in whole.own[1:]))
