from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.compress.low_rank.form import Ranks, chain, down_and_across, free, names, rewritten
from quant.ir.window import Window
from tests.quant.float_graphs import SAME, Builder, images
from tests.quant.search_checks import float_conv, float_values

WINDOWS = [SAME, Window((3, 3), (2, 1), (1, 0, 2, 1)), Window((3, 2), (1, 2), (0, 1, 0, 1), (2, 1))]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("ranks", [Ranks(), Ranks(4), Ranks(rows=9), Ranks(5, 7)])
def test_shapes_names_and_what_comes_after_the_sums(window: Window, ranks: Ranks) -> None:
    net = Builder(0)
    beside = net.conv("beside", "x", 8, window)
    conv = net.conv("conv", net.conv("stem", "x", 6), 8, window, clip=(0, 6), residual=beside)
    graph = net.graph(net.conv("fc", conv, 3, Window(net.shapes[conv][1:])))
    made = chain(float_conv(graph, "conv"), ranks, names(graph))
    small = rewritten(graph, {"conv": made})  # which holds it to the shapes
    before = [rank for rank in (ranks.rows, ranks.channels) if rank is not None]
    assert [layer.name for layer in made] == [*["conv.low", "conv.mid"][: len(before)], "conv"]
    assert [len(layer.weight) for layer in made[:-1]] == before
    assert (made[-1].output, made[-1].clip, made[-1].residual) == ("conv.y", (0, 6), "beside.y")
    assert all((layer.clip, layer.residual) == ((None, None), None) and not layer.bias.any() for layer in made[:-1])
    assert len(small.layers) == len(graph.layers) + len(before)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_separable_kernel_in_two_steps_is_the_same(window: Window, rng: np.random.Generator) -> None:
    """Zeros around the map, strides and dilations, too."""
    net = Builder(0)
    graph = net.graph(net.conv("conv", "x", 8, window))
    down, across = (rng.normal(size=shape) for shape in ((5, 3, window.kernel[0]), (8, 5, window.kernel[1])))
    weight = np.einsum("rcy,orx->ocyx", down, across).astype(np.float32)
    conv = replace(float_conv(graph, "conv"), weight=weight)
    made = chain(conv, Ranks(rows=5), names(graph), [down, across])
    assert (made[0].window, made[1].window) == down_and_across(window)
    one, two = (float_values(rewritten(graph, {"conv": layers}), images(2), "conv.y") for layers in ((conv,), made))
    assert np.abs(one - two).max() < 1e-5 * np.abs(one).max()


def test_names_that_are_taken() -> None:
    assert free("a.low", ["a.low", "a.low_"]) == "a.low__" and free("a.low", ["a"]) == "a.low"


def test_ranks_as_they_are_shown() -> None:
    assert [str(ranks) for ranks in (Ranks(), Ranks(8), Ranks(rows=9), Ranks(8, 9))] == ["", "8", "9 down", "9 down, 8"]
