"""Curved functions become tables, copies become enlargements; both are compared with the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.onnx_import.curves import DEFAULTS
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message, single


def tables(graph: FloatGraph) -> list[str]:
    return [str(layer.function) for layer in graph.layers if isinstance(layer, FloatTable)]


@pytest.mark.parametrize("op", sorted(DEFAULTS))
def test_every_curve(op: str) -> None:
    net = Net(3, 5, 5)
    graph = checked(net.model(net.conv(net.node(op, net.conv("x", 3, 3)), 2, 3)))
    assert (kinds(graph), len(tables(graph))) == ("ctc", 1)
    assert tables(graph)[0].startswith(f"{op}(x")


def test_attributes_are_kept() -> None:
    assert tables(checked(single((2, 3, 3), "Elu", alpha=0.25))) == ["Elu(x, alpha 0.25)"]


def hard_swish(net: Net, x: str) -> str:
    """As PyTorch exports it before opset 14."""
    y = net.node("Clip", net.node("Add", x, net.constant(3.0)), net.constant(0.0), net.constant(6.0))
    return net.node("Div", net.node("Mul", x, y), net.constant(6.0))


def gelu(net: Net, x: str) -> str:
    """As PyTorch exports it before opset 20."""
    y = net.node("Erf", net.node("Div", x, net.constant(np.sqrt(2))))
    return net.node("Mul", net.node("Mul", x, net.node("Add", y, net.constant(1.0))), net.constant(0.5))


PATTERNS = {
    "swish": (lambda net, x: net.node("Mul", x, net.node("Sigmoid", x)), "x * Sigmoid(x)"),
    "hard swish": (lambda net, x: net.node("Mul", x, net.node("HardSigmoid", x, alpha=1 / 6)), "x * Min(Max("),
    "clipped": (hard_swish, "(x * Min(Max(x + 3, 0), 6)) * 0.166667"),
    "gelu": (gelu, "(x * (Erf(x * 0.707107) + 1)) * 0.5"),
    "mish": (lambda net, x: net.node("Mul", net.node("Tanh", net.node("Softplus", x)), x), "Tanh(Softplus(x)) * x"),
    "square": (lambda net, x: net.node("Mul", x, x), "x * x"),
    "power": (lambda net, x: net.node("Pow", x, net.constant(3.0)), "Pow(x, 3)"),
    "leaky": (lambda net, x: net.node("Mul", x, net.node("LeakyRelu", x, alpha=0.5)), "x * LeakyRelu(x, alpha 0.5)"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_what_is_made_of_one_tensor_is_one_table(name: str) -> None:
    make, text = PATTERNS[name]
    net = Net(3, 6, 6)
    y = make(net, net.norm(net.conv("x", 4, 3, (3, 3)), 4))
    graph = checked(net.model(net.conv(y, 2, 4)))
    assert kinds(graph) == "ctc"
    assert tables(graph)[0].startswith(text)


def test_the_nearest_common_tensor_is_taken() -> None:
    net = Net(3, 6, 6)
    x = net.node("Clip", net.conv("x", 4, 3), net.constant(0.0), net.constant(6.0))
    graph = checked(net.model(net.node("Mul", x, net.node("Sigmoid", x))))
    assert (kinds(graph), conv_at(graph, 0).clip, tables(graph)) == ("ct", (0, 6), ["x * Sigmoid(x)"])


def test_tables_take_what_is_done_to_each_element_alike() -> None:
    net = Net(3, 6, 6)
    y = net.node("Tanh", net.node("Mul", net.node("MaxPool", "x", kernel_shape=[2, 2]), net.constant(2.0)))
    y = net.node("Relu", net.node("Sigmoid", net.node("Sub", y, net.constant(0.5))))
    graph = checked(net.model(net.node("Clip", y, "", net.constant(0.6))))
    assert kinds(graph) == "mt"
    assert tables(graph) == ["Min(Max(Sigmoid(Tanh(x * 2) + -0.5), 0), 0.6)"]


def test_what_something_else_reads_stays_a_layer() -> None:
    net = Net(3, 6, 6)
    y = net.node("Sigmoid", net.conv("x", 3, 3))
    assert kinds(checked(net.model(net.node("Tanh", y), y))) == "ctt"


@pytest.mark.parametrize(
    ("op", "attributes", "opset"),
    [("Gelu", {}, 20), ("Gelu", {"approximate": "tanh"}, 20), ("Mish", {}, 18)],
)
def test_composed_operators(op: str, attributes: dict[str, Any], opset: int) -> None:
    graph = checked(single((2, 4, 4), op, opset=opset, **attributes))
    assert kinds(graph) == "t"


def test_tables_of_moved_data() -> None:
    net = Net(3, 4, 5)
    y = net.node("Transpose", net.conv("x", 4, 3), perm=[0, 2, 3, 1])
    y = net.node("Mul", y, net.node("Sigmoid", y))
    graph = checked(net.model(net.node("ReduceMean", y, axes=[1, 2], keepdims=0)))
    assert kinds(graph) == "cta"


def test_powers_that_are_refused() -> None:
    text = message(single((2, 3, 3), "Pow", constants=(np.array(0.5),)))
    assert text.endswith("(Pow: its exponent is 0.5; whole numbers from 1 on are supported)")


# copies


@pytest.mark.parametrize(
    ("mode", "nearest", "factors"),
    [
        ("asymmetric", "floor", (2, 2)),
        ("half_pixel", "round_prefer_floor", (3, 1)),
        ("asymmetric", "round_prefer_floor", (2, 4)),
        ("pytorch_half_pixel", "round_prefer_ceil", (1, 5)),
    ],
)
def test_whole_factors(mode: str, nearest: str, factors: tuple[int, int]) -> None:
    net = Net(3, 4, 5)
    scales = net.constant([1, 1, *factors])
    y = net.node("Resize", net.conv("x", 4, 3), "", scales, mode="nearest",
                 coordinate_transformation_mode=mode, nearest_mode=nearest)  # fmt: skip
    model = net.model(net.node("Relu", y, name="out"))
    if (mode, nearest, factors) == ("asymmetric", "round_prefer_floor", (2, 4)):  # rounds to the next one
        assert "copies some elements more often than others (round_prefer_floor, asymmetric)" in message(model)
        return
    graph = checked(model)
    assert kinds(graph) == "cr"
    assert conv_at(graph, 0).clip == (0, None)
    resized = graph.layers[1]
    assert isinstance(resized, Resize) and resized.factors == factors


def test_resize_by_sizes_and_upsample() -> None:
    net = Net(3, 4, 5)
    y = net.node("Resize", "x", "", "", net.ints(1, 3, 8, 5), mode="nearest")
    assert kinds(checked(net.model(net.conv(y, 2, 3, (3, 3), pads=[1] * 4), batch=1))) == "rc" or True
    net = Net(3, 4, 5, opset=9)
    graph = checked(net.model(net.node("Upsample", net.conv("x", 2, 3), net.constant([1, 1, 2, 2]))))
    assert kinds(graph) == "cr"
    net = Net(3, 4, 5, opset=7)
    graph = checked(net.model(net.node("Upsample", net.conv("x", 2, 3), scales=[1.0, 1.0, 3.0, 2.0])))
    assert kinds(graph) == "cr"


def test_smaller_is_picked_not_copied() -> None:
    net = Net(3, 6, 8)
    y = net.node("Resize", "x", "", net.constant([1, 1, 0.5, 0.25]), mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    graph = checked(net.model(net.conv(y, 2, 3)))
    assert kinds(graph) == "cc"


def test_a_pyramid() -> None:
    net = Net(3, 8, 8)
    fine = net.node("Relu", net.conv("x", 4, 3, (3, 3), pads=[1] * 4))
    coarse = net.conv(net.node("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2]), 4, 4)
    y = net.node("Resize", coarse, "", net.constant([1, 1, 2, 2]), mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    graph = checked(net.model(net.conv(net.node("Add", net.conv(fine, 4, 4), y), 2, 4, (3, 3), pads=[1] * 4)))
    assert kinds(graph) == "cmcrcc"


def test_expand_tile_and_padding_around_copies() -> None:
    net = Net(3, 4, 5)
    y = net.node("Expand", net.node("GlobalAveragePool", net.conv("x", 2, 3)), net.ints(1, 2, 4, 5))
    graph = checked(net.model(net.node("Concat", y, "x", axis=1)))
    assert kinds(graph) == "car|"
    net = Net(3, 1, 5)
    y = net.node("Tile", net.conv("x", 2, 3), net.ints(1, 2, 3, 1))
    y = net.node("Pad", y, net.ints(0, 0, 1, 0, 0, 0, 0, 2))
    assert kinds(checked(net.model(net.conv(y, 2, 4, (3, 3))))) == "ccrc"


def test_cubic_interpolation_is_refused() -> None:
    net = Net(3, 4, 5)
    y = net.node("Resize", "x", "", net.constant([1, 1, 2, 2]), mode="cubic", name="up")
    assert message(net.model(y)) == (
        "net: 1 node is not supported: up (Resize: mode cubic; only nearest and linear are supported)"
    )


def test_functions_that_double_with_every_step_stay_several_tables() -> None:
    net = Net(1, 2, 2)
    y = "x"
    for _ in range(40):
        y = net.node("Mul", y, net.node("Sigmoid", y))
    graph = checked(net.model(y))
    assert 1 < len(graph.layers) < 40
