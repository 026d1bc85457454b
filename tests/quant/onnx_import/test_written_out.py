"""PyTorch's LocalResponseNorm, which its exporter writes out, is a normalization again."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quant.kinds.table import FloatTable
from quant.onnx_import.inspect import inspect
from tests.quant.onnx_nets import Net, checked, message


def squeeze(net: Net, x: str) -> str:
    """Axis 1 taken away where it is 1, in an If, as torch.squeeze is exported."""
    one = net.constant(1, np.int64)
    found = net.node("Gather", net.node("Shape", x), one, axis=0)
    taken, same = f"{x}.taken", f"{x}.same"
    branches = [
        helper.make_graph([node], "branch", [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
        for node, name in (
            (helper.make_node("Squeeze", [x, net.ints(1)], [taken]), taken),
            (helper.make_node("Identity", [x], [same]), same),
        )
    ]
    return net.node("If", net.node("Equal", found, one), then_branch=branches[0], else_branch=branches[1])


def normalized(
    net: Net, x: str, shape: tuple[int, ...], size: int, *, pads: list[int] | None = None, alpha: float = 2.0,
    beta: float = 0.75, bias: float = 1.0, conditional: bool = True, **pooling: Any,
) -> str:  # fmt: skip
    """As torch.nn.LocalResponseNorm: of a map in two dimensions by reshapes, in one by an axis more."""
    one = len(shape) == 2
    square = net.node("Mul", x, x)
    wide = (
        net.node("Unsqueeze", square, net.ints(1))
        if one
        else net.node("Reshape", square, net.ints(0, 1, *shape[:2], -1))
    )
    rank = len(shape) + 2
    edges = [0] * 2 * rank
    edges[2], edges[2 + rank] = size // 2, (size - 1) // 2
    padded = net.node("Pad", wide, net.ints(*(pads or edges)))
    kernel = [size, *[1] * (rank - 3)]
    mean = net.node("AveragePool", padded, kernel_shape=kernel, strides=[1] * (rank - 2), **pooling)
    back = squeeze(net, mean) if conditional else net.node("Squeeze", mean, net.ints(1))
    back = back if one else net.node("Reshape", back, net.ints(0, *shape))
    sums = net.node("Add", net.node("Mul", back, net.constant(alpha)), net.constant(bias))
    return net.node("Div", x, net.node("Pow", sums, net.constant(beta)), name="norm")


def followed(net: Net, y: str, channels: int) -> onnx.ModelProto:
    return net.model(net.conv(y, 4, channels))


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize(
    ("size", "numbers"), [(5, {}), (4, {"alpha": 5.0}), (2, {"bias": 2.0}), (9, {"beta": 0.5}), (1, {})]
)
def test_onnx_runtime_gives_the_same(size: int, numbers: dict[str, float], conditional: bool) -> None:
    """Even sizes, too, which have a channel more before than behind, where ONNX's LRN has it the other way round."""
    net = Net(3, 7, 6)
    y = net.node("Relu", net.conv("x", 9, 3, (3, 3)))
    graph = checked(followed(net, normalized(net, y, (9, 5, 4), size, conditional=conditional, **numbers), 9))
    assert sum(isinstance(layer, FloatTable) for layer in graph.layers) == 4


def test_in_one_dimension() -> None:
    net = Net(3, 20)
    y = normalized(net, net.conv1d("x", 8, 3, 5), (8, 16), 3, alpha=4.0)
    checked(net.model(net.conv1d(y, 4, 8, 1)))


def test_its_nodes_are_parts_of_it() -> None:
    net = Net(3, 7, 6)
    model = followed(net, normalized(net, net.conv("x", 9, 3), (9, 7, 6), 5), 9)
    verdicts = {verdict.node: verdict for verdict in inspect(model).verdicts}
    assert verdicts["norm"].kind == "layer"
    parts = [verdict for verdict in verdicts.values() if verdict.text == "part of norm"]
    assert {"Mul", "Reshape", "Pad", "AveragePool", "If", "Pow"} <= {verdict.op for verdict in parts}


def refused(net: Net, y: str) -> str:
    return message(followed(net, y, 9))


@pytest.mark.parametrize(
    "change",
    [
        {"pads": [0, 0, 2, 0, 0, 0, 0, 2, 0, 1]},
        {"pads": [0, 0, 4, 0, 0, 0, 0, 1, 0, 0]},
        {"bias": 0.0},
        {"alpha": -1.0},
    ],
    ids=["columns padded", "one more", "bias 0", "alpha below 0"],
)
def test_what_is_another_function_stays_refused(change: dict[str, Any]) -> None:
    net = Net(3, 7, 6)
    assert "not supported" in refused(net, normalized(net, net.conv("x", 9, 3), (9, 7, 6), 5, **change))


def test_what_another_node_reads_stays_refused() -> None:
    net = Net(3, 7, 6)
    y = normalized(net, net.conv("x", 9, 3), (9, 7, 6), 5)
    pooled = next(node for node in net.nodes if node.op_type == "Pow").output[0]
    assert "averagepool" in refused(net, net.node("Add", y, pooled))


def test_of_other_data_than_it_divides_stays_refused() -> None:
    net = Net(3, 7, 6)
    other = net.conv("x", 9, 3)
    y = normalized(net, net.conv("x", 9, 3), (9, 7, 6), 5)
    net.nodes[-1].input[0] = other
    assert "averagepool" in refused(net, y)
