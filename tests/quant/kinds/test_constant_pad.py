"""Numbers around a map: in float, in a quantized file of this project and of others, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.well_formed import Malformed, well_formed
from quant.kinds.constant_pad import ConstantPad
from quant.onnx_import import load
from quant.run.execute import execute
from quant.run.fast_execute import FastExecutor
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.kinds.test_padding import S8, network
from tests.quant.onnx_nets import Net

VALUES = pytest.mark.parametrize("values", [(3, 3), (-128, 127)], ids=["one", "two"])


@VALUES
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (1, 2, 0, 3), (0, 0, 0, 0)])
def test_all_ways_to_run_it(pads: tuple[int, int, int, int], values: tuple[int, int], rng: np.random.Generator) -> None:
    net = network(ConstantPad("around", "x", "y", pads, np.array(values)))
    x = rng.integers(-128, 128, (3, 2, 3, 4))
    [layer] = qdq.load(qdq.to_model(net)).layers
    assert isinstance(layer, ConstantPad) and layer.name == "around"
    assert (layer.pads, layer.values.tolist()) == (pads, list(values))
    wanted = qdq.run_layers(qdq.to_model(net), np.ldexp(x.astype(np.float32), -S8.frac))["y"]
    np.testing.assert_array_equal(execute(net, x)["y"], wanted)
    for in_bytes in (True, False):
        np.testing.assert_array_equal(FastExecutor(net, in_bytes=in_bytes).run(x)["y"], wanted)
    np.testing.assert_array_equal(wanted[..., pads[0] : pads[0] + 3, pads[1] : pads[1] + 4], x)
    if any(pads):
        np.testing.assert_array_equal(wanted[0, :, -1, 0 if pads[1] else -1], values)


def test_in_float(rng: np.random.Generator) -> None:
    layer = ConstantPad("around", "x", "y", (1, 0, 2, 1), np.array([0.5, -3], np.float32))
    graph = FloatGraph("net", (layer,), {"x": (2, 3, 4), "y": (2, 6, 5)}, ("x",), ("y",))
    images = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
    [(_, tensors)] = FloatRunner(graph).run(images, ("y",))
    found = tensors["y"]
    np.testing.assert_allclose(found[:, :, 1:4, :4], images, atol=1e-6)
    np.testing.assert_array_equal(found[:, :, 0], np.broadcast_to(layer.values[:, None], (2, 2, 5)))
    assert not layer.never_negative({"x"}) and replace(layer, values=-layer.values * [-1, 1]).never_negative({"x"})
    assert layer.of_clipped((0, 0.25)).values.tolist() == [0.25, 0]
    assert layer.thinned({"y": np.array([1])}).values.tolist() == [-3]


def test_a_format_holds_what_is_around() -> None:
    """Beyond all that is seen of the map itself, and below zero, where the map is not."""
    net = Net(2, 6, 6)
    y = net.node("Relu", net.conv("x", 2, 2))
    padded = net.node("Pad", y, net.ints(0, 0, 1, 1, 0, 0, 1, 1), net.constant(-40.0))
    graph = load(net.model(net.conv(padded, 2, 2, (3, 3))))
    images = np.random.default_rng(1).normal(size=(8, 2, 6, 6)).astype(np.float32)
    quantized = quantize_network(graph, images)
    [layer] = [layer for layer in quantized.layers if isinstance(layer, ConstantPad)]
    fmt = quantized.tensors[layer.output].fmt
    assert fmt.signed and np.ldexp(layer.values.astype(float), -fmt.frac).tolist() == [-40, -40]


def test_what_no_format_holds_is_found() -> None:
    with pytest.raises(Malformed, match="pads by numbers that are no integers of s8.4"):
        well_formed(network(ConstantPad("around", "x", "y", (1, 1, 1, 1), np.array([3, 128]))))
    with pytest.raises(Malformed, match=r"numbers of shape \(3,\) around 2 channels"):
        layer = ConstantPad("around", "x", "y", (1, 1, 1, 1), np.array([3, 1, 2]))
        tensors = {"x": Tensor("x", (2, 3, 4), S8), "y": Tensor("y", (2, 5, 6), S8)}
        well_formed(Network("net", tensors, (layer,), ("x",), ("y",)))


def model(values: tuple[int, int]) -> onnx.ModelProto:
    return qdq.to_model(network(ConstantPad("around", "x", "y", (1, 1, 1, 1), np.array(values))))


def put(made: onnx.ModelProto, op: str, index: int, array: np.ndarray) -> onnx.ModelProto:
    """Another constant in the place of an input of the first node of an operator."""
    made.graph.initializer.append(numpy_helper.from_array(array, "other"))
    next(node for node in made.graph.node if node.op_type == op).input[index] = "other"
    return made


def test_another_tools_numbers_are_rounded_where_the_file_rounds_them() -> None:
    found = qdq.load(put(model((3, 3)), "Pad", 2, np.float32(0.3))).layers[0]
    assert isinstance(found, ConstantPad) and found.values.tolist() == [5, 5]
    found = qdq.load(put(model((3, 4)), "Where", 2, np.array([0.3, 90], np.float32).reshape(1, 2, 1, 1))).layers[0]
    assert isinstance(found, ConstantPad) and found.values.tolist() == [5, 127]
    made = model((3, 3))
    pad = next(node for node in made.graph.node if node.op_type == "Pad")
    del pad.input[2]
    found = qdq.load(made).layers[0]
    assert isinstance(found, ConstantPad) and found.values.tolist() == [0, 0]


def test_numbers_that_nothing_rounds_must_be_of_the_format() -> None:
    """Before a pooling that is rounded, the padded map is not."""
    made = model((3, 3))
    quantize = next(node for node in made.graph.node if node.op_type == "QuantizeLinear" and "y" in node.output[0])
    pool = helper.make_node("MaxPool", [quantize.input[0]], ["pooled"], "pool", kernel_shape=[2, 2])
    quantize.input[0] = "pooled"
    made.graph.node.insert(list(made.graph.node).index(quantize), pool)
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    for dim in ("N", 2, 4, 5):
        made.graph.output[0].type.tensor_type.shape.dim.add(**{"dim_param" if dim == "N" else "dim_value": dim})
    assert [type(layer).__name__ for layer in qdq.load(made).layers] == ["ConstantPad", "Pool"]


@pytest.mark.parametrize(
    ("op", "index", "array", "reason"),
    [
        ("Where", 0, np.ones((1, 1, 5, 6), bool), "puts in something else than what is around the map"),
        ("Where", 2, np.zeros((1, 1, 1, 1), np.float32), r"numbers of shape \(1, 1, 1, 1\), not one for each channel"),
        ("Where", 2, np.full((1, 2, 1, 1), np.inf, np.float32), "pads by"),
    ],
)
def test_a_where_that_is_no_padding(op: str, index: int, array: np.ndarray, reason: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=reason):
        qdq.load(put(model((3, 4)), op, index, array))


def test_a_where_of_something_else() -> None:
    made = model((3, 4))
    where = next(node for node in made.graph.node if node.op_type == "Where")
    pad = next(node for node in made.graph.node if node.op_type == "Pad")
    pad.attribute.append(helper.make_attribute("mode", "edge"))
    with pytest.raises(UnsupportedNetwork, match="chooses among tensors, and not what is around a padded one"):
        qdq.load(made)
    assert where.input[1] == pad.output[0]


def test_numbers_of_unsigned_formats(rng: np.random.Generator) -> None:
    layer, fmt = ConstantPad("around", "x", "y", (1, 1, 1, 1), np.array([255, 0])), QFormat(8, 0, signed=False)
    tensors = {"x": Tensor("x", (2, 3, 4), fmt), "y": Tensor("y", (2, 5, 6), fmt)}
    net = Network("net", tensors, (layer,), ("x",), ("y",))
    x = rng.integers(0, 256, (2, 2, 3, 4))
    wanted = qdq.run_layers(qdq.to_model(net), x.astype(np.float32))["y"]
    np.testing.assert_array_equal(execute(net, x)["y"], wanted)
    np.testing.assert_array_equal(FastExecutor(net).run(x)["y"], wanted)
