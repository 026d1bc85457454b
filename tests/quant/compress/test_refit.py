from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.compress.refit import refitted
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.rewrite.channels import left_by, sets, thinned
from quant.run.float_run import FloatRunner
from quant.search.judge import float_outputs, relative
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import float_conv


def constant(conv: FloatConv, rng: np.random.Generator) -> FloatConv:
    """The convolution, its first two channels constants."""
    weight, bias = conv.weight.copy(), conv.bias.copy()
    weight[:2], bias[:2] = 0, rng.uniform(0.5, 2, 2)
    return replace(conv, weight=weight, bias=bias)


def test_channels_that_are_constant_move_into_biases(rng):
    """Nothing is lost: through a residual, a depthwise layer, poolings and a concatenation, without padding."""
    net = Builder(4, size=8)
    one = net.conv("one", "x", 6)
    two = net.conv("two", "x", 6, residual=one)
    deep = net.conv("deep", two, 6, Window((3, 3)), groups=6)
    most = net.pool("most", deep, "max", Window((2, 2), (2, 2)))
    side = net.conv("side", "x", 4, Window((4, 4), (2, 2)))
    cat = net.concat("cat", most, side)
    graph = net.graph(net.conv("last", cat, 5, Window((2, 2)), clip=(None, None)))
    dead = {name: constant(float_conv(graph, name), rng) for name in ("one", "two")}
    graph = replace(graph, layers=tuple(dead.get(layer.name, layer) for layer in graph.layers))
    channels = sets(graph)
    kept = left_by(channels, set(channels["one.y"][:2].tolist()))
    small = refitted(thinned(graph, kept), graph, kept, images(40, size=8))
    assert small.shapes["cat.y"] == (8, 3, 3) and float_conv(small, "last").weight.shape == (5, 8, 2, 2)
    x = images(5, size=8, seed=1)
    assert np.allclose(float_outputs(small, x)["last.y"], float_outputs(graph, x)["last.y"], rtol=1e-3, atol=1e-4)


def test_a_layer_against_least_squares_by_hand():
    net = Builder(5, size=6)
    one, side = net.conv("one", "x", 8), net.conv("side", "x", 5)
    graph = net.graph(net.conv("two", one, 5, Window((3, 3), pads=(1, 1, 1, 1)), residual=side))
    channels, x = sets(graph), images(60, size=6)
    kept = left_by(channels, channels["one.y"][[1, 4, 6]].tolist())
    conv = float_conv(refitted(thinned(graph, kept), graph, kept, x), "two")
    [(_, tensors)] = FloatRunner(graph).run(x)
    padded = np.pad(tensors["one.y"][:, kept["one.y"]], ((0, 0), (0, 0), (1, 1), (1, 1)))
    read = (
        np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(2160, -1)
    )
    bare = replace(float_conv(graph, "two"), clip=(None, None), residual=None)
    [(_, whole)] = FloatRunner(replace(graph, layers=(*graph.layers[:2], bare))).run(x)
    wanted = whole["two.y"].transpose(0, 2, 3, 1).reshape(2160, 5).astype(np.float64)
    read = np.c_[read, np.ones(2160)]
    best = np.square(read @ np.linalg.lstsq(read, wanted, rcond=None)[0] - wanted).sum()
    own = read @ np.r_[conv.weight.reshape(5, -1).T, conv.bias[None]] - wanted
    before = float_conv(thinned(graph, kept), "two")
    lost = read @ np.r_[before.weight.reshape(5, -1).T, before.bias[None]] - wanted
    assert best <= np.square(own).sum() < 1.01 * best < 0.7 * np.square(lost).sum()
    assert np.allclose(own.mean(0), 0, atol=1e-4)


def noise(small: FloatGraph, graph: FloatGraph, x: np.ndarray) -> float:
    [name] = graph.outputs
    return relative(float_outputs(small, x)[name], float_outputs(graph, x)[name])


@pytest.mark.parametrize("tensor", ["body.y", "stem.y", "left.y"])
def test_the_rest_makes_good_what_is_lost_on_other_images(tensor: str):
    graph = branches(2)
    channels = sets(graph)
    kept = left_by(channels, channels[tensor][:2].tolist())
    small = thinned(graph, kept)
    assert noise(refitted(small, graph, kept, images(80)), graph, images(30, seed=3)) < 0.7 * noise(
        small, graph, images(30, seed=3)
    )


def test_what_nothing_has_changed_stays_as_it_was():
    graph = branches()
    channels = sets(graph)
    kept = left_by(channels, channels["body.y"][:3].tolist())
    small = refitted(thinned(graph, kept), graph, kept, images(8))
    assert np.array_equal(float_conv(small, "stem").weight, float_conv(graph, "stem").weight)
    assert np.array_equal(float_conv(small, "body").weight, float_conv(graph, "body").weight[3:])
    assert small.source == {} and small.layers[0].name == graph.layers[0].name
