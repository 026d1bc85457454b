"""ConvTranspose and DepthToSpace, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant.kinds.conv import FloatConv
from quant.kinds.depth_to_space import DepthToSpace
from tests.quant.onnx_nets import Net, checked, conv_at, message


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_blocks(mode: str) -> None:
    net = Net(18, 4, 5)
    graph = checked(net.model(net.node("DepthToSpace", "x", blocksize=3, mode=mode)))
    [layer] = graph.layers
    assert isinstance(layer, DepthToSpace)
    assert (layer.block, layer.mode, graph.shapes[layer.output]) == (3, mode, (2, 12, 15))


def test_scalings_and_clips_go_before_blocks_and_copies() -> None:
    """Into the convolution, which computes as much either way."""
    net = Net(4, 5, 6)
    y = net.node("DepthToSpace", net.conv("x", 12, 4, (3, 3)), blocksize=2)
    y = net.node("Relu", net.norm(y, 3))
    y = net.node("Resize", y, "", net.constant([1, 1, 2, 2]), coordinate_transformation_mode="asymmetric",
                 nearest_mode="floor")  # fmt: skip
    graph = checked(net.model(net.node("Clip", y, net.constant(-1.0), net.constant(2.0))))
    assert [type(layer).__name__ for layer in graph.layers] == ["FloatConv", "DepthToSpace", "Resize"]
    assert conv_at(graph, 0).clip == (0, 2)


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((2, 2), {"strides": [2, 2]}),
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((16, 16), {"strides": [8, 8], "pads": [4, 4, 4, 4]}),
        ((3, 2), {"strides": [2, 2], "pads": [0, 1, 1, 0], "group": 2}),
        ((5, 3), {"strides": [3, 3], "dilations": [1, 2], "pads": [2, 0, 1, 3]}),
        ((1, 1), {"strides": [3, 3]}),
        ((2, 2), {"strides": [4, 4], "output_padding": [1, 0], "pads": [0, 3, 0, 0]}),
        ((3, 3), {"pads": [2, 2, 2, 2]}),
        ((3, 3), {"pads": [3, 0, 1, 2]}),
    ],
)
def test_transposed_convolutions(kernel: tuple[int, int], attributes: dict[str, Any]) -> None:
    net = Net(4, 5, 6)
    groups = attributes.get("group", 1)
    weight = net.constant(net.random.normal(size=(4, 6 // groups, *kernel)))
    y = net.node("ConvTranspose", "x", weight, net.constant(net.random.normal(size=6)), **attributes)
    graph = checked(net.model(net.node("Relu", net.norm(y, 6))))
    assert conv_at(graph, 0).groups == groups
    assert sum(isinstance(layer, DepthToSpace) for layer in graph.layers) == (attributes.get("strides", [1])[0] > 1)
    assert all(isinstance(layer, FloatConv | DepthToSpace) for layer in graph.layers)


def test_no_multiplication_by_zeros_between_inputs() -> None:
    """Where the stride divides the kernel, and nothing is cut off."""
    net = Net(4, 5, 6)
    weight = net.constant(net.random.normal(size=(4, 3, 4, 4)))
    conv = conv_at(checked(net.model(net.node("ConvTranspose", "x", weight, strides=[2, 2]))), 0)
    assert np.count_nonzero(conv.weight) == conv.weight.size == 4 * 3 * 16


@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "asymmetric"])
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 3)])
def test_linear_resizes(mode: str, factor: int, shape: tuple[int, int, int]) -> None:
    """By weights that 8 bits have exactly, sixteenths and sixty-fourths, but for 256ths by 8 from half pixels."""
    net = Net(*shape)
    y = net.node("Resize", "x", "", net.constant([1, 1, factor, factor]), mode="linear",
                 coordinate_transformation_mode=mode)  # fmt: skip
    graph = checked(net.model(y))
    assert [type(layer).__name__ for layer in graph.layers] == ["EdgePad", "FloatConv", "DepthToSpace"]
    parts = 256 if factor == 8 and mode != "asymmetric" else 64
    scaled = conv_at(graph, 1).weight * parts
    assert np.array_equal(scaled, np.rint(scaled)) and scaled.max() <= parts


def test_upsample_is_asymmetric() -> None:
    net = Net(3, 4, 5, opset=9)
    checked(net.model(net.node("Upsample", "x", net.constant([1, 1, 2, 2]), mode="linear")))


def test_linear_resizes_of_one_element_are_copies() -> None:
    net = Net(3, 6, 7)
    y = net.node("GlobalAveragePool", "x")
    y = net.node("Resize", y, "", "", net.ints(1, 3, 6, 7), mode="linear")
    graph = checked(net.model(net.conv(y, 2, 3)))
    assert [type(layer).__name__ for layer in graph.layers] == ["FloatPool", "Resize", "FloatConv"]


@pytest.mark.parametrize(
    ("scales", "attributes", "reason"),
    [
        ([1, 1, 3, 3], {}, "linear, by 3 and 3; 2, 4 and 8 are supported"),
        ([1, 1, 2, 4], {}, "linear, by 2 and 4; 2, 4 and 8 are supported"),
        ([1, 1, 2.1, 2.1], {}, "2, 4 and 8 are supported"),
        ([1, 1, 2, 2], {"coordinate_transformation_mode": "align_corners"}, "coordinate_transformation_mode align"),
        ([1, 1, 2, 2], {"exclude_outside": 1}, "linear, with exclude_outside"),
    ],
)
def test_linear_resizes_that_are_refused(scales: list[float], attributes: dict[str, Any], reason: str) -> None:
    net = Net(3, 4, 5)
    y = net.node("Resize", "x", "", net.constant(scales), mode="linear", **attributes)
    assert reason in message(net.model(net.conv(y, 2, 3, (3, 3))))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"strides": [2, 1]}, "strides [2, 1]; only equal ones are supported"),
        ({"auto_pad": "SAME_UPPER"}, "its padding is not stated"),
        ({"output_shape": [5, 6]}, "its padding is not stated"),
        ({"pads": [4, 0, 4, 0]}, "leave nothing of its result"),
    ],
)
def test_what_is_refused(attributes: dict[str, Any], reason: str) -> None:
    net = Net(4, 5, 6)
    y = net.node("ConvTranspose", "x", net.constant(np.ones((4, 3, 2, 2))), **attributes)
    assert reason in message(net.model(net.conv(y, 3, 3)))
