"""The check after import: what it finds, and that it judges by what ONNX means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quant.base.errors import VerificationError
from quant.kinds.conv import FloatConv
from quant.onnx_import import load, verify
from tests.quant.onnx_nets import Net, checked


def dilated(dimensions: int, groups: int, **padding: Any) -> Any:
    net = Net(*((6, 48) if dimensions == 1 else (6, 12, 11)))
    weight = net.constant(net.random.normal(size=(6, 6 // groups, *[3] * dimensions)))
    return net.model(net.node("Conv", "x", weight, group=groups, dilations=[3, 2][:dimensions], name="y", **padding))


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(
    ("dimensions", "groups", "pads"), [(2, 1, [3, 2, 3, 2]), (2, 6, [3, 2, 3, 2]), (1, 1, [3, 3]), (1, 6, [3, 3])]
)
def test_dilated_windows_of_automatic_padding(auto: str, dimensions: int, groups: int, pads: list[int]) -> None:
    """ONNX Runtime does not run them; the same with its padding in numbers it does."""
    graph = checked(dilated(dimensions, groups, auto_pad=auto))
    images = np.random.default_rng(2).normal(size=(2, *graph.shapes["x"])).astype(np.float32)
    assert verify(graph, dilated(dimensions, groups, pads=pads), images) < 1e-5


def test_a_dilated_pool_of_automatic_padding() -> None:
    net = Net(2, 9, 8)
    model = net.model(net.node("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2], auto_pad="SAME_UPPER", name="y"))
    assert load(model).shapes["y"] == (2, 9, 8)
    checked(model)


def test_shapes_are_compared_too() -> None:
    net = Net(3, 4, 4)
    model = net.model(net.node("Flatten", net.conv("x", 2, 3), name="y"), batch=1)
    graph = checked(model)
    images = np.ones((1, 3, 4, 4), np.float32)
    wrong = replace(graph, output_shapes={"y": (4, 8)})
    with pytest.raises(VerificationError, match=r"^net: output y is \(1, 32\), not \(1, 4, 8\)$"):
        verify(wrong, model, images)


def test_every_layer_of_a_network_of_all_of_them_is_compared() -> None:
    net = Net(3, 12, 12)
    y = net.node("LeakyRelu", net.norm(net.conv("x", 8, 3, (3, 3)), 8), alpha=0.1, name="a")
    y = net.node("HardSigmoid", net.norm(net.conv(y, 8, 8), 8), name="b")
    y = net.node("Sub", y, net.norm(net.node("MaxPool", y, kernel_shape=[1, 1]), 8), name="c")
    y = net.node("PRelu", y, net.constant(net.random.normal(size=(8, 1, 1))), name="d")
    graph = checked(net.model(net.node("ReduceMean", y, axes=[2, 3], name="e")))
    assert {"a", "b", "c", "d", "e"} <= set(graph.source)
    assert sum(isinstance(layer, FloatConv) for layer in graph.layers) == len(graph.layers) - 2
