"""Formats judged by the network's outputs, against running every candidate; the measure itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from onnx import helper

from quant.ir.fixedpoint import QFormat, clip_bounds, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.conv import Conv, FloatConv
from quant.onnx_import import load
from quant.rewrite.raw_pixels import take_pixels
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner, LayerRunner
from quant.run.images import prepare
from quant.search import quantize_network
from quant.search.judge import IMAGES, OutputJudge, relative
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.onnx_nets import Net
from tests.quant.search_checks import float_values, respects

Trial = tuple[tuple[str, ...], dict[QFormat, float]]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """What the search asks the judge: the tensors of a group, and the loss of each format tried."""
    found: list[Trial] = []
    losses = OutputJudge.losses

    def listen(self, index, values, changed, stores):
        result = losses(self, index, values, changed, stores)
        assert all(isinstance(store, partial) for store in stores)
        found.append((tuple(changed), dict(zip([store.args[0] for store in stores], result, strict=True))))
        return result

    monkeypatch.setattr(OutputJudge, "losses", listen)
    return found


def tried_out(network: Network, graph: FloatGraph, x: np.ndarray, group: tuple[str, ...], fmt: QFormat) -> float:
    """The loss of a format, by running everything anew: the integer network up to the group's first tensor, that
    layer in float with the integers' weights, then the float network, the group's tensors stored in the format.
    """
    order = [layer.output for layer in graph.layers]
    index = min(order.index(name) for name in group)
    integers = execute(network, quantize_input(network, x), network.tensors)
    tensors = {
        name: dequantize(integers[name], network.tensors[name].fmt.frac).astype(np.float32)
        for name in (graph.inputs[0], *order[:index])
    }
    for place, layer in enumerate(graph.layers[index:]):
        if place == 0 and isinstance(layer, FloatConv):
            conv = next(c for c in network.layers if isinstance(c, Conv) and c.name == layer.name)
            acc_frac = network.tensors[conv.input].fmt.frac + conv.weight_frac
            weight = dequantize(conv.weight, conv.weight_frac.reshape(-1, 1, 1, 1))
            layer = replace(layer, weight=weight, bias=dequantize(conv.bias, acc_frac))
        result = LayerRunner(graph, layer).run([tensors[name] for name in layer.inputs])
        if layer.output in group:
            low, high = clip_bounds(fmt, *layer.clip)
            result = (np.clip(np.rint(result / fmt.step), low, high) * fmt.step).astype(np.float32)
        tensors[layer.output] = result
    return sum(relative(tensors[name], float_values(graph, x, name)) for name in graph.outputs)


def chain() -> FloatGraph:
    net = Builder(5, size=6)
    one = net.conv("one", "x", 6)
    two = net.conv("two", one, 6, clip=(0, 1.5), residual=one)
    three = net.pool("three", two, "average", Window((2, 2), (2, 2)))
    return net.graph(net.conv("four", net.add("sum", three, three), 5, Window((3, 3)), clip=(None, None)))


def concatenated() -> FloatGraph:
    net = Builder(8, size=6)
    first = net.conv("a", "x", 4)
    second = net.concat("ab", first, net.conv("b", first, 4, clip=(None, None), gain=2.0))
    pooled = net.pool("max", second, "max", Window((2, 2), (2, 2)))
    third = net.concat("abc", pooled, net.conv("c", pooled, 4))
    return net.graph(net.conv("fc", third, 5, Window((3, 3)), clip=(None, None)))


@pytest.mark.parametrize(
    ("make", "groups"),
    [
        (chain, [("one.y",), ("two.y",), ("three.y",), ("sum.y",)]),
        (concatenated, [("a.y", "b.y", "c.y")]),
    ],
)
def test_the_format_with_the_least_loss_is_chosen(trials, make, groups):
    graph, x = make(), images(7, size=6)
    network = quantize_network(graph, x, formats="network", equalization=None)
    assert [group for group, _ in trials] == groups
    for group, losses in trials:
        assert len(losses) == 3 and len({fmt.frac for fmt in losses}) == 3
        for fmt, loss in losses.items():
            assert tried_out(network, graph, x, group, fmt) == pytest.approx(loss, rel=1e-3)
        chosen = {network.tensors[name].fmt for name in group}
        assert chosen == {min(losses, key=losses.__getitem__)}
    respects(network)
    assert network.metadata["quantization.formats"] == "network"


def test_scaled_tensors_are_judged_in_the_float_networks_units(trials):
    """All losses are small, as they would not be if a scale were forgotten."""
    net = Builder(2)
    one = net.conv("one", "x", 8, gain=2.0 ** np.arange(-6, 2))
    graph = net.graph(net.conv("two", net.conv("mid", one, 8, clip=(0, 6)), 4, Window((12, 12)), clip=(None, None)))
    network = quantize_network(graph, images(8), formats="network", equalization=1.0)
    assert [group for group, _ in trials] == [("one.y",), ("mid.y",)]
    assert all(min(losses.values()) < 1e-3 for _, losses in trials)
    respects(network)


@pytest.mark.parametrize("steps", [{"precision": "static"}, {"effort": "fast"}, {"effort": "default"}])
def test_nothing_is_judged_by_the_outputs_where_that_is_not_asked(trials, steps):
    quantize_network(chain(), images(4, size=6), **({"formats": "network"} | steps if "precision" in steps else steps))
    assert not trials


def test_judges_are_spread_over_the_images():
    graph = chain()
    few, many = OutputJudge(graph, images(5, size=6)), OutputJudge(graph, images(300, size=6))
    assert few.chosen.tolist() == [0, 1, 2, 3, 4]
    assert len(many.chosen) == IMAGES and many.chosen[0] == 0 and many.chosen[-1] == 299
    assert np.diff(many.chosen).max() <= 11


def test_what_changes_nothing_costs_nothing():
    graph, x = branches(), images(9)
    judge = OutputJudge(graph, x)
    [(_, values)] = FloatRunner(graph).run(x)
    index = [layer.name for layer in graph.layers].index("left")
    before = {name: values[name] for name in ("x", *(layer.output for layer in graph.layers[: index + 1]))}
    same, moved = judge.losses(index, before, ("left.y", "right.y"), [lambda _, v: v, lambda _, v: v * 1.01])
    assert same < 1e-10 < moved
    assert judge.replaced(graph.layers[0]) < 1e-10
    assert judge.replaced(replace(graph.layers[0], weight=graph.layers[0].weight * 1.01)) > 1e-6


def test_loss_is_relative_and_blind_to_a_shift_of_all_alike(rng):
    wanted = rng.normal(size=(5, 10, 1, 1)).astype(np.float32)
    noise = rng.normal(size=wanted.shape)
    centred = wanted - wanted.mean(1, keepdims=True)
    noise -= noise.mean(1, keepdims=True)
    assert relative(wanted + noise, wanted) == pytest.approx((noise**2).sum() / (centred**2).sum(), rel=1e-4)
    assert relative(wanted + noise + 7, wanted) == pytest.approx(relative(wanted + noise, wanted), rel=1e-4)
    assert relative(8 * (wanted + noise), 8 * wanted) == pytest.approx(relative(wanted + noise, wanted), rel=1e-4)


def test_one_value_an_image_is_judged_as_it_is():
    wanted = np.array([1.0, 2.0, -2.0], np.float32).reshape(3, 1, 1, 1)
    assert relative(wanted, wanted) == 0
    assert relative(wanted + 0.5, wanted) == pytest.approx(0.75 / 9)
    assert relative(np.ones((2, 1, 1, 1)), np.zeros((2, 1, 1, 1), np.float32)) == 2


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
@pytest.mark.parametrize("data_bits", [8, 16])
def test_raw_pixels_enter_as_they_are(effort, data_bits):
    net = Net(3, 8, 8)
    y = net.node("Relu", net.conv("x", 6, 3, (3, 3), pads=[1] * 4))
    made = net.model(net.conv(y, 4, 6))
    facts = {"preprocess.channels": "RGB", "preprocess.mean": "120,110,100", "preprocess.scale": "0.017,0.018,0.019"}
    helper.set_model_props(made, facts)
    graph = take_pixels(load(made))
    dark = np.random.default_rng(0).integers(0, 100, (16, 3, 8, 8)).astype(np.uint8)  # would fit a finer format
    network = quantize_network(graph, prepare(dark, graph), effort=effort, data_bits=data_bits)
    assert network.tensors[network.inputs[0]].fmt == QFormat(8, 0, signed=False)


def test_an_output_that_is_stored_itself_is_judged():
    net = Builder(2)
    graph = net.graph(net.conv("one", "x", 4))
    judge = OutputJudge(graph, images(4))
    values = {"one.y": judge.outputs["one.y"], "x": judge.images}
    exact, coarse = judge.losses(0, values, ["one.y"], [lambda _, array: array, lambda _, array: np.rint(array)])
    assert exact == 0.0 < coarse == pytest.approx(relative(np.rint(values["one.y"]), values["one.y"]))
