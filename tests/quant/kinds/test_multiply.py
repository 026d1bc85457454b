"""Products of two tensors, from ONNX to integers and back: each leg against another one."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant import qdq
from quant.base.errors import UnsupportedNetwork
from quant.ir.bounds import accumulator_bound, tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Bound, Tensor
from quant.ir.well_formed import Malformed, well_formed
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.multiply import FloatMultiply, Multiply
from quant.onnx_import import load
from quant.run.execute import execute, quantize_input
from quant.run.fast_execute import FastExecutor
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.integer_nets import S8, U8, Net, check
from tests.quant.onnx_nets import Net as Onnx
from tests.quant.onnx_nets import checked, message


def product(first: Tensor, second: Tensor, fmt: QFormat, clip: tuple[int, int] | None = None) -> Network:
    """A network whose input is `first`, and whose product with another tensor is its output."""
    layer = Multiply("gate", (first.name, second.name), "y", clip or (fmt.low, fmt.high))
    tensors = {first.name: first, second.name: second, "y": Tensor("y", first.shape, fmt)}
    return Network("net", tensors, (layer,), first.name, ("y",))


FORMATS = st.builds(QFormat, st.sampled_from([4, 8]), st.integers(-3, 12), st.booleans())


@given(FORMATS, FORMATS, FORMATS, st.data())
def test_every_pair_of_integers(one: QFormat, two: QFormat, out: QFormat, data: st.DataObject) -> None:
    """The reference over the whole domain, against float64, where product, scaling and rounding are exact."""
    a, b = np.arange(one.low, one.high + 1), np.arange(two.low, two.high + 1)
    shape = (1, len(a), len(b))
    low = data.draw(st.integers(out.low, out.high))
    high = data.draw(st.integers(low, out.high))
    network = product(Tensor("x", shape, one), Tensor("g", shape, two), out, (low, high))
    values = {"x": np.broadcast_to(a[:, None], shape)[None], "g": np.broadcast_to(b[None], shape)[None]}
    exact = np.ldexp(np.outer(a, b).astype(np.float64), out.frac - one.frac - two.frac)
    expected = np.clip(np.rint(exact), low, high)
    runner = network.layers[0].prepare(network.tensors, {"x": Bound(one.low, one.high), "g": Bound(two.low, two.high)})
    maps = [values[name].swapaxes(0, 1).astype(network.tensors[name].fmt.dtype) for name in ("x", "g")]
    assert np.array_equal(runner(maps)[0, 0], expected)


@pytest.mark.parametrize("in_bytes", [False, True])
@pytest.mark.parametrize("gate", [(3, 5, 4), (3, 1, 1)])
def test_onnx_runtime_gives_the_same(gate: tuple[int, int, int], in_bytes: bool) -> None:
    net = Net((3, 5, 4), S8)
    x = net.conv("x", 3, QFormat(8, -4))
    g = net.conv("x", 3, QFormat(8, -4, False)) if gate[1] > 1 else net.pool("x", "average", Window((5, 4)), S8)
    finest = net.tensors[g].fmt.frac - 4
    y = net.put(lambda name: Multiply("gate", (x, g), name, (-100, 90)), (3, 5, 4), QFormat(8, finest - 4))
    network = net.network(y)
    images = np.random.default_rng(3).integers(S8.low, S8.high + 1, (9, 3, 5, 4))
    fast = FastExecutor(network, in_bytes=in_bytes)
    assert "gate" not in fast.slow
    tensors = list(network.tensors)
    ours, theirs = execute(network, images, tensors), fast.run(images, tensors)
    assert all(np.array_equal(ours[name], theirs[name]) for name in tensors)
    assert len(np.unique(ours[y])) > 10
    check(network)  # written, read back, and run in ONNX Runtime on the file


def test_wide_products_run_in_float64_where_float32_rounds() -> None:
    wide = QFormat(16, 8)
    net = Net((2, 3, 3), wide)
    y = net.put(lambda name: Multiply("gate", ("x", "x"), name, (wide.low, wide.high)), (2, 3, 3), wide)
    network = net.network(y)
    assert accumulator_bound(network, network.layers[0]).high == 1 << 30
    assert qdq.beyond_float32(network) == ("gate",) and FastExecutor(network).slow == {"gate"}
    images = np.random.default_rng(5).normal(0, 8, (20, 2, 3, 3)).astype(np.float32)
    integers = np.clip(np.rint(images * 256), wide.low, wide.high).astype(np.int64)
    theirs = qdq.run_layers(qdq.to_model(network), images, wide=qdq.beyond_float32(network))
    assert np.array_equal(theirs[y], execute(network, integers)[y])


def test_its_accumulator_holds_the_extremes_and_no_more() -> None:
    network = product(Tensor("x", (1, 1, 1), S8), Tensor("g", (1, 1, 1), U8), S8)
    bounds = {"x": Bound(-128, 127), "g": Bound(0, 255)}
    assert network.layers[0].accumulator(network.tensors, bounds) == Bound(-128 * 255, 127 * 255)
    assert tensor_bounds(dataclasses.replace(network, layers=()))["x"] == Bound(-128, 127)


def test_shapes_that_do_not_meet() -> None:
    for gate in ((2, 3, 3), (3, 1, 3), (1, 3, 3)):
        net = Net((3, 3, 3), S8)
        net.tensors["g"] = Tensor("g", gate, S8)
        layer = Multiply("gate", ("x", "g"), "y", (S8.low, S8.high))
        with pytest.raises(ValueError, match="multiplies"):
            layer.output_shape({name: tensor.shape for name, tensor in net.tensors.items()})
    net = Net((3, 3, 3), S8)
    wrong = net.put(lambda name: Multiply("gate", ("x", "x"), name, (S8.low, S8.high)), (3, 3, 2), S8)
    with pytest.raises(Malformed, match="gate"):
        well_formed(net.network(wrong))


# from ONNX


def excited(net: Onnx, y: str, left: bool) -> str:
    """Squeeze-and-excitation."""
    gate = net.node("Relu", net.conv(net.node("GlobalAveragePool", y), 2, 4))
    gate = net.node("HardSigmoid", net.conv(gate, 4, 2))
    return net.node("Mul", *((gate, y) if left else (y, gate)))


@pytest.mark.parametrize("left", [False, True])
def test_squeeze_and_excitation(left: bool) -> None:
    net = Onnx(3, 8, 8)
    y = net.node("Relu", net.conv("x", 4, 3, (3, 3), pads=[1] * 4))
    graph = checked(net.model(net.node("Relu", net.conv(excited(net, y, left), 2, 4))))
    [layer] = [layer for layer in graph.layers if isinstance(layer, FloatMultiply)]
    assert [graph.shapes[name] for name in layer.inputs] == [(4, 8, 8), (4, 1, 1)]
    assert not any(layer.moves for layer in graph.layers)  # the gate is broadcast, not copied


def test_products_of_maps_and_of_flattened_data() -> None:
    net = Onnx(3, 6, 6)  # a StarNet block: two branches, one with a ReLU6, multiplied
    one = net.node("Clip", net.conv("x", 6, 3), net.constant(0.0), net.constant(6.0))
    y = net.node("Relu", net.node("Mul", one, net.conv("x", 6, 3)))
    graph = checked(net.model(net.conv(y, 2, 6)))
    [layer] = [layer for layer in graph.layers if isinstance(layer, FloatMultiply)]
    assert layer.clip == (0.0, None)
    net = Onnx(3, 2, 2)
    flat = net.node("Flatten", "x")
    gates = [net.node("Gemm", flat, net.constant(net.random.normal(size=(12, 5)))) for _ in range(2)]
    checked(net.model(net.node("Mul", *gates)))
    net = Onnx(3, 4, 5)  # in the order (H, W, C)
    one, two = (net.node("Transpose", net.conv("x", 4, 3), perm=[0, 2, 3, 1]) for _ in range(2))
    checked(net.model(net.node("ReduceMean", net.node("Mul", one, two), axes=[1, 2], keepdims=0)))


def test_a_map_of_one_channel_is_copied_to_all() -> None:
    net = Onnx(3, 6, 6)
    graph = checked(net.model(net.node("Mul", net.conv("x", 4, 3), net.conv("x", 1, 3))))
    assert sum(isinstance(layer, FloatConv) for layer in graph.layers) == 3
    net = Onnx(3, 6, 6)
    flat = net.node("Flatten", net.node("GlobalAveragePool", net.conv("x", 6, 3)))
    assert "differ in shape" in message(net.model(net.node("Mul", net.conv("x", 6, 3), flat)))


def test_a_gated_network_quantizes_and_its_file_gives_the_same_integers() -> None:
    net = Onnx(3, 12, 12)
    y = net.node("Relu", net.conv("x", 4, 3, (3, 3), pads=[1] * 4))
    y = net.node("Relu", net.conv(excited(net, y, False), 8, 4, (3, 3), pads=[1] * 4))
    y = net.node("Mul", net.conv(y, 4, 8), net.conv(y, 4, 8))
    graph = checked(net.model(net.conv(y, 5, 4)))
    images = np.random.default_rng(2).normal(size=(24, 3, 12, 12)).astype(np.float32)
    network = quantize_network(graph, images[:16])
    model = qdq.to_model(network)
    x = np.random.default_rng(4).normal(size=(6, 3, 12, 12)).astype(np.float32)
    ours = execute(network, quantize_input(network, x), list(network.tensors))
    theirs = qdq.run_layers(model, x, wide=qdq.beyond_float32(network))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert [layer.name for layer in qdq.load(model).layers] == [layer.name for layer in network.layers]
    assert {"Multiply"} <= {layer.operator for layer in network.layers}
    reference = np.asarray(execute(network, quantize_input(network, images[16:]))[network.outputs[0]], np.float64)
    real = reference * network.tensors[network.outputs[0]].fmt.step
    wanted = np.concatenate([t[graph.outputs[0]] for _, t in FloatRunner(graph).run(images[16:])])
    noise = ((real - wanted) ** 2).sum() / (wanted**2).sum()
    assert 10 * np.log10(1 / noise) > 20


def test_what_is_never_negative_has_no_sign() -> None:
    """A gate, too: all eight bits of it are below one."""
    net = Onnx(3, 8, 8)
    y = net.node("Relu", net.conv("x", 4, 3, (3, 3), pads=[1] * 4))
    product = excited(net, net.node("Mul", y, net.node("Relu", net.conv("x", 4, 3))), False)
    graph = checked(net.model(net.conv(product, 2, 4)))
    network = quantize_network(graph, np.random.default_rng(2).normal(size=(16, 3, 8, 8)).astype(np.float32))
    whole, gated = (layer for layer in network.layers if isinstance(layer, Multiply))
    assert [network.tensors[name].fmt.signed for name in (*whole.inputs, *gated.inputs)] == [False] * 4


def test_division_of_data_stays_refused() -> None:
    net = Onnx(3, 4, 4)
    y = net.node("Div", net.conv("x", 3, 3), net.conv("x", 3, 3), name="over")
    assert message(net.model(y)) == "net: 1 node is not supported: over (Div: divides by data)"


def test_a_product_of_a_flattened_tensor_and_a_map_is_refused() -> None:
    net = Net((4, 1, 1), S8)
    y = net.put(lambda name: Multiply("gate", ("x", "x"), name, (S8.low, S8.high)), (4, 1, 1), S8)
    model = qdq.to_model(net.network(y))
    [node] = [node for node in model.graph.node if node.op_type == "Mul"]
    model.graph.node.insert(
        list(model.graph.node).index(node), onnx.helper.make_node("Flatten", [node.input[1]], ["flat"], "flat")
    )
    node.input[1] = "flat"
    with pytest.raises(UnsupportedNetwork, match="gate"):
        qdq.load(model)


def test_loading_needs_no_images() -> None:
    net = Onnx(3, 4, 4)
    assert (
        load(net.model(net.node("Mul", net.conv("x", 2, 3), net.conv("x", 2, 3)))).layers[-1].description == "product"
    )


@pytest.mark.parametrize("frac", [20, 54, 55, 90])
def test_a_left_shift_that_int64_cannot_hold_is_refused(frac: int) -> None:
    net = Net((2, 3, 3), QFormat(8, 0))
    y = net.put(lambda name: Multiply("gate", ("x", "x"), name, (-128, 127)), (2, 3, 3), QFormat(8, frac))
    network = net.network(y)
    if 16 + frac <= 62:
        x = np.arange(-9, 9).reshape(1, 2, 3, 3)
        assert np.array_equal(execute(network, x)[y], np.where(x == 0, 0, 127))
    else:
        with pytest.raises(Malformed, match="the product of 16 bits is shifted left"):
            well_formed(network)
