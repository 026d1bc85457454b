"""Rows of 4-bit weights are moved to where power-of-two steps suit them, and the network computes the same function."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.ir.scales import tensor_scales
from quant.kinds.conv import FloatConv
from quant.run.calibration import calibrate
from quant.search import quantize_network
from quant.search.equalize import free_scales
from quant.search.fit_weights import FACTORS, mean_squares, row_losses
from quant.search.groups import group_tensors, positive_tensors
from quant.search.options import Options
from tests.quant.float_graphs import Builder, images
from tests.quant.search_checks import sqnr


def chain(seed: int = 0) -> FloatGraph:
    """Dense layers, then an addition and a clip at the top."""
    net = Builder(seed, channels=4)
    relu = (0.0, None)
    x = net.conv("one", "x", 24, clip=relu)
    x = net.conv("two", x, 24, clip=relu)
    added = net.conv("three", x, 24, clip=relu, residual=x)
    x = net.conv("four", added, 16, clip=(0.0, 6.0))
    return net.graph(net.conv("five", x, 10))


def scales_of(graph: FloatGraph, x: np.ndarray, **changes) -> dict[str, np.ndarray]:
    ranges = calibrate(graph, x)
    groups, _ = group_tensors(graph, 8, positive_tensors(graph, ranges))
    return free_scales(graph, ranges, groups, Options(**changes))


def test_only_rows_of_few_bits_that_are_alone_move():
    graph, x = chain(), images(12, 4)
    plain = scales_of(graph, x, weight_bits=4, weight_scales=False)
    assert all((scales_of(graph, x)[name] == plain[name]).all() for name in plain)  # 8 bits have no need of it
    fitted = scales_of(graph, x, weight_bits=4)
    ratio = {name: fitted[name] / plain[name] for name in plain}
    moved = {name for name in ratio if (ratio[name] != 1).any()}
    outputs = {layer.name: layer.output for layer in graph.layers}
    assert moved == {outputs["one"]}  # two and three are tied by an addition, four is clipped, five is an output
    assert np.isin(np.rint(np.log2(ratio[outputs["one"]]) * -8 * 1e6) / 1e6, np.arange(8)).all()
    one = scales_of(graph, x, layer_weight_bits={"one": 4})
    assert all(np.array_equal(one[name], fitted[name]) for name in fitted)


def test_the_factor_is_the_one_with_the_least_loss():
    """Against the error of the rounded layer itself, by the mean squares of what it reads."""
    graph, x = chain(), images(12, 4)
    ranges = calibrate(graph, x)
    plain = scales_of(graph, x, weight_bits=4, weight_scales=False)
    fitted = scales_of(graph, x, weight_bits=4)
    layer = graph.layers[0]
    assert isinstance(layer, FloatConv)
    losses = row_losses(layer, ranges["x"], plain, graph.shapes["x"], 4)
    chosen = np.rint(np.log2(fitted[layer.output] / plain[layer.output]) * -8).astype(int)
    assert np.array_equal(chosen, losses.argmin(1)) and len(set(chosen.tolist())) > 3
    rows = layer.weight.astype(np.float64) * (plain[layer.output][:, None] / plain["x"])[:, :, None, None]
    square = mean_squares(ranges["x"], graph.shapes["x"]) * plain["x"] ** 2
    for channel, factor in ((0, 0), (5, 3), (23, 7)):
        row, least = rows[channel] * FACTORS[factor], np.inf
        for frac in range(-12, 20):
            codes = np.clip(np.rint(row * 2.0**frac), -8, 7)
            error = (codes * 2.0**-frac - row) / FACTORS[factor]
            least = min(least, float((error**2 * square[:, None, None]).sum()))
        assert losses[channel, factor] == pytest.approx(least)


@pytest.mark.parametrize("groups", [1, 4])
def test_many_weights_are_judged_a_few_channels_at_a_time(groups: int, monkeypatch: pytest.MonkeyPatch):
    net = Builder(3, channels=4)
    graph, x = net.graph(net.conv("one", "x", 24, groups=groups)), images(4, 4)
    ranges, scales = calibrate(graph, x), {"x": np.array([0.5, 1, 2, 3]), graph.outputs[0]: np.linspace(0.3, 2, 24)}
    arguments = graph.layers[0], ranges["x"], scales, graph.shapes["x"], 4
    whole = row_losses(*arguments)
    monkeypatch.setattr("quant.search.assemble.PART", 5 * graph.layers[0].weight[0].size)
    assert np.array_equal(row_losses(*arguments), whole) and len(np.unique(whole)) > 24


def test_mean_squares_are_those_of_the_kept_values():
    graph, x = chain(), images(12, 4)
    found = mean_squares(calibrate(graph, x)["x"], graph.shapes["x"])
    assert found == pytest.approx((x.astype(np.float64) ** 2).mean((0, 2, 3)))


def test_less_is_lost_in_the_outputs():
    ratios = {True: [], False: []}
    for seed in range(4):
        graph, x = chain(seed), images(24, 4)
        assert graph.layers[0].clip == (0.0, None)
        for fit, found in ratios.items():
            network = quantize_network(
                graph, x[:16], layer_weight_bits={"one": 4}, rounding="nearest", weight_scales=fit
            )
            assert (tensor_scales(network)[graph.outputs[0]] == 1).all()
            found.append(sqnr(network, graph, x[16:]))
    assert np.mean(ratios[True]) > np.mean(ratios[False]) + 0.3
