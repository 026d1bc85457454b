"""The quantizer on networks with tables and enlargements, and on raw pixels: formats, errors, the file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quant import qdq
from quant.ir.fixedpoint import QFormat
from quant.ir.functions import SILU, X, apply, constant, table
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.onnx_import import load
from quant.qdq import run_layers
from quant.rewrite.raw_pixels import take_pixels
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.run.images import prepare
from quant.search import quantize_network
from quant.search.groups import non_negative
from tests.quant.onnx_nets import Net

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 3, 12, 12)).astype(np.uint8)


def pyramid() -> onnx.ModelProto:
    """SiLU, HardSwish, Softplus, an enlargement that meets another tensor in a concatenation."""
    net = Net(3, 12, 12)
    x = net.node("Mul", net.norm(net.conv("x", 8, 3, (3, 3), pads=[1] * 4), 8), net.constant(0.2))
    fine = net.node("Mul", x, net.node("Sigmoid", x))
    coarse = net.node("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2])
    coarse = net.node("HardSwish", net.conv(coarse, 6, 8))
    up = net.node("Resize", coarse, "", net.constant([1, 1, 2, 2]), mode="nearest", name="up",
                  coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    y = net.conv(net.node("Concat", fine, up, axis=1), 4, 14, (3, 3), pads=[1] * 4)
    return net.model(net.node("Softplus", net.node("Mul", y, net.constant(0.05)), name="out"))


def sqnr(network: Network, graph: FloatGraph, images: np.ndarray) -> float:
    [output] = graph.outputs
    wanted = np.concatenate([tensors[output] for _, tensors in FloatRunner(graph).run(images, (output,))])
    found = execute(network, quantize_input(network, images))[output] * network.tensors[output].fmt.step
    return float(10 * np.log10((wanted**2).mean() / ((found - wanted) ** 2).mean()))


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_tables_and_enlargements_are_quantized(effort: str) -> None:
    graph = load(pyramid())
    images = np.random.default_rng(2).normal(size=(24, 3, 12, 12)).astype(np.float32)
    network = quantize_network(graph, images, effort=effort)  # type: ignore[arg-type]
    assert sqnr(network, graph, images) > 30
    tables = [layer for layer in network.layers if isinstance(layer, Table)]
    assert [layer.function for layer in tables] == [str(SILU), "HardSwish(x)", "Softplus(x)"]
    for layer in tables:
        source, target = network.tensors[layer.input].fmt, network.tensors[layer.output].fmt
        assert layer.entries.shape == (1 << source.bits,)
        assert target.low <= layer.entries.min() and layer.entries.max() <= target.high
    assert network.tensors["out"].fmt.bits == 16 and not network.tensors["out"].fmt.signed
    [resize] = [layer for layer in network.layers if isinstance(layer, Resize)]
    assert network.tensors[resize.input].fmt == network.tensors[resize.output].fmt
    scales = tensor_scales(network)
    for layer in tables:
        assert (scales[layer.input] == 1).all() and (scales[layer.output] == 1).all()
    model = qdq.to_model(network)
    fixed = execute(network, quantize_input(network, images[:4]), network.tensors)
    for name, values in run_layers(model, images[:4], wide=qdq.beyond_float32(network)).items():
        assert np.array_equal(values, fixed[name]), name
    again = qdq.load(model)
    assert qdq.to_model(again).SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_16_bit_data_make_16_bit_tables() -> None:
    graph = load(pyramid())
    images = np.random.default_rng(2).normal(size=(8, 3, 12, 12)).astype(np.float32)
    network = quantize_network(graph, images, data_bits=16, weight_bits=16)
    assert sqnr(network, graph, images) > 60
    assert {layer.entries.size for layer in network.layers if isinstance(layer, Table)} == {1 << 16}


def test_which_tables_cannot_be_negative() -> None:
    net = Net(3, 4, 4)
    y = net.node("Relu", "x", name="positive")
    outputs = [
        net.node("Softplus", "x", name="softplus"),
        net.node("Tanh", "x", name="tanh"),
        net.node("Tanh", y, name="tanh of positive"),
        net.node("Mul", "x", "x", name="square"),
        net.node("HardSwish", "x", name="swish"),
    ]
    graph = load(net.model(y, *outputs))
    assert non_negative(graph, ()) == {"positive", "softplus", "tanh of positive", "square"}
    assert apply("Exp", X).least(-1e9) == 0
    assert apply("Sub", X, constant(1)).least(0.0) == -1
    assert table(apply("Mul", X, X), QFormat(8, 0), QFormat(8, 0, False)).min() == 0


@pytest.mark.parametrize("pads", [0, 1])
def test_raw_pixels_lose_nothing_at_the_input(pads: int) -> None:
    net = Net(3, 12, 12)
    y = net.node("Relu", net.conv("x", 8, 3, (3, 3), pads=[pads] * 4))
    made = net.model(net.conv(y, 4, 8))
    helper.set_model_props(
        made, {"preprocess.channels": "BGR", "preprocess.mean": "120,110,100", "preprocess.scale": "0.017,0.018,0.019"}
    )
    graph = load(made)
    raw = take_pixels(graph)
    network = quantize_network(raw, prepare(PIXELS, raw))
    assert network.tensors[network.inputs[0]].fmt == QFormat(8, 0, signed=False)
    assert np.array_equal(quantize_input(network, prepare(PIXELS, raw)), PIXELS)
    [output] = graph.outputs
    [(_, tensors)] = FloatRunner(graph).run(prepare(PIXELS, graph), (output,))
    found = execute(network, PIXELS)[output] * network.tensors[output].fmt.step
    error = found - tensors[output]
    assert 10 * np.log10((tensors[output] ** 2).mean() / (error**2).mean()) > 30
