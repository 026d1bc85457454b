"""Operators that become other layers: integers near the float network, and the same from the engine's program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from host.compiler import compile_network
from hw.contract.config import preset
from quant.onnx_import import load, verify
from quant.rewrite.raw_pixels import take_pixels
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.run.images import prepare
from quant.search import quantize_network
from sim.executor import run
from tests.quant.onnx_nets import Net


def leaky(net: Net) -> str:
    y = net.node("LeakyRelu", net.norm(net.conv("x", 8, 3, (3, 3), pads=[1] * 4), 8), alpha=0.1)
    y = net.node("PRelu", net.conv(y, 8, 8), net.constant(net.random.uniform(-0.5, 0.5, (8, 1, 1))))
    return net.conv(net.node("HardSigmoid", net.conv(y, 6, 8), alpha=0.02), 4, 6)


def extremes(net: Net) -> str:
    parts = net.node("Split", net.conv("x", 8, 3, (3, 3)), axis=1, outputs=2)
    y = net.node("Max", parts, f"{parts}_1")
    y = net.node("Sub", y, net.node("Relu", net.conv(y, 4, 4)))
    return net.conv(net.node("Abs", y), 3, 4)


def shuffled(net: Net) -> str:
    y = net.node("Relu", net.norm(net.conv("x", 8, 3, (3, 3), pads=[1] * 4), 8))
    y = net.node("Relu", net.conv(y, 8, 4, group=2))
    y = net.node("Reshape", y, net.ints(0, 2, 4, 12, 12))
    y = net.node("Reshape", net.node("Transpose", y, perm=[0, 2, 1, 3, 4]), net.ints(0, 8, 12, 12))
    y = net.norm(net.node("Relu", net.conv(y, 8, 1, (3, 3), group=8)), 8)
    return net.conv(y, 4, 8, (3, 3), pads=[1, 0, 2, 1], strides=[2, 1])


def normalized_first(net: Net) -> str:
    y = net.node("Sub", "x", net.constant(np.reshape([0.1, -0.2, 0.3], (3, 1, 1))))
    y = net.node("Pad", net.conv(y, 6, 3, (3, 3), pads=[1] * 4), net.ints(0, 0, 1, 0, 0, 0, 0, 2), net.constant(0.5))
    y = net.node("AveragePool", net.node("Relu", y), kernel_shape=[2, 2], strides=[2, 2])
    return net.node("Gemm", net.node("Flatten", y), net.constant(net.random.normal(size=(6 * 6 * 7, 5))))


def curves(net: Net) -> str:
    """Behind a convolution, between it and a pooling, behind a pooling, of the input, of a sum, of what others read."""
    y = net.node("Tanh", net.conv("x", 8, 3, (3, 3), pads=[1] * 4))
    y = net.node("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = net.node("Add", net.node("Elu", net.conv(y, 8, 8)), net.node("HardSwish", y))
    y = net.node("Mul", y, net.node("Sigmoid", y))
    y = net.node("Softplus", net.node("MaxPool", y, kernel_shape=[2, 2]))
    left, right = net.conv(y, 4, 8, (3, 3)), net.node("Split", net.node("Atan", net.conv(y, 8, 8)), axis=1, outputs=2)
    return net.node("Add", net.node("Erf", left), net.conv(right, 4, 4, (3, 3)))


def excited(net: Net) -> str:
    """Squeeze-and-excitation, of a map and of parts that are joined, gated by a curve and by a clip."""
    y = net.node("HardSwish", net.norm(net.conv("x", 12, 3, (3, 3), pads=[1] * 4), 12))
    y = net.node("Mul", y, net.node("Sigmoid", gate(net, y, 12)))
    y = net.node("Concat", net.norm(net.conv(y, 5, 12), 5), net.norm(net.conv(y, 13, 12), 13), axis=1)
    return net.conv(net.node("Mul", y, net.node("HardSigmoid", gate(net, y, 18))), 4, 18)


def normalized(net: Net) -> str:
    """LRN of channels that are no multiple of lanes, pooled behind, and of what has signs."""
    y = net.node("LRN", net.node("Relu", net.conv("x", 18, 3, (3, 3))), size=5, alpha=1.0, beta=0.75, bias=1.0)
    y = net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    return net.node("LRN", net.conv(y, 6, 3, (3, 3), pads=[1] * 4, group=6), size=3, alpha=0.5, bias=2.0)


def gate(net: Net, y: str, channels: int) -> str:
    squeezed = net.node("Relu", net.conv(net.node("GlobalAveragePool", y), 4, channels))
    return net.norm(net.conv(squeezed, channels, 4), channels)


@pytest.mark.parametrize("make", [leaky, extremes, shuffled, normalized_first, curves, excited, normalized])
def test_two_dimensions(make: Callable[[Net], str]) -> None:
    net = Net(3, 12, 12)
    check(net.model(make(net)))


def test_one_dimension() -> None:
    net = Net(4, 40)
    y = net.node("MaxPool", net.node("Relu", net.conv1d("x", 8, 4, 5, strides=[2], pads=[2, 1])), kernel_shape=[2])
    y = net.node("ReduceMean", net.node("LeakyRelu", net.conv1d(y, 6, 8, 3)), axes=[2], keepdims=0)
    check(net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(6, 3))))))


def enlarged(net: Net) -> str:
    """Linear enlargement by 8, whose weights are rounded."""
    y = net.node("Resize", net.node("Relu", net.conv("x", 4, 3)), "", net.constant([1, 1, 8, 8]), mode="linear")
    return net.conv(y, 2, 4, (3, 3), strides=[3, 3])


def test_linear_enlargement_by_eight() -> None:
    net = Net(3, 5, 6)
    check(net.model(enlarged(net)))


def averaged(net: Net) -> str:
    """Squeeze-and-excitation of a large map, whose average is one of averages."""
    y = net.node("Relu", net.conv("x", 8, 3, (3, 3), pads=[1] * 4))
    return net.conv(net.node("Mul", y, net.node("Sigmoid", gate(net, y, 8))), 4, 8)


@pytest.mark.parametrize("size", [(112, 112), (67, 83)])
def test_averages_over_large_maps(size: tuple[int, int]) -> None:
    net = Net(3, *size)
    check(net.model(net.node("GlobalMaxPool", averaged(net))))


@pytest.mark.parametrize("pads", [0, 1])
def test_raw_pixels(pads: int) -> None:
    net = Net(3, 12, 12)
    y = net.node("Relu", net.conv("x", 8, 3, (3, 3), pads=[pads] * 4))
    model = net.model(net.conv(y, 4, 8))
    numbers = {"channels": "BGR", "mean": "120,110,100", "scale": "0.017,0.018,0.019"}
    helper.set_model_props(model, {f"preprocess.{key}": value for key, value in numbers.items()})
    check(model, raw_pixels=True)


def check(model: onnx.ModelProto, raw_pixels: bool = False) -> None:
    """The integer network stays near the float one, and its program gives its integers."""
    graph = load(model)
    images = np.random.default_rng(3).normal(size=(16, *graph.shapes[graph.inputs[0]])).astype(np.float32)
    if raw_pixels:
        graph = take_pixels(graph)
        images = prepare(np.random.default_rng(3).integers(0, 256, images.shape).astype(np.uint8), graph)
    verify(graph, model, images[:4])
    network = quantize_network(graph, images)
    [output] = network.outputs
    [(_, tensors)] = FloatRunner(graph).run(images, (output,))
    integers = quantize_input(network, images)
    fixed = execute(network, integers, network.tensors)
    error = fixed[output] * network.tensors[output].fmt.step - tensors[output]
    assert 10 * np.log10((tensors[output] ** 2).mean() / (error**2).mean()) > 20
    found = run(compile_network(network, preset("tiny")), integers[0])
    for name, values in found.items():
        assert np.array_equal(values, fixed[name][0]), name
