from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from quant.compress.low_rank.form import Ranks
from quant.compress.low_rank.rewrite import Reconstruction, Rewriting
from quant.compress.low_rank.spectrum import Spectrum, spectrum
from quant.compress.moments import moments
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from tests.quant.float_graphs import branches, images
from tests.quant.search_checks import float_conv, float_values


def spectra(graph: FloatGraph, x: np.ndarray) -> dict[str, Spectrum]:
    every = [layer.name for layer in float_convolutions(graph.layers) if layer.groups == 1]
    return {found.layer.name: spectrum(found) for found in moments(graph, x, every)}


@pytest.mark.parametrize("reconstruction", get_args(Reconstruction))
@pytest.mark.parametrize("rows", [False, True])
def test_full_ranks_are_the_same_function(reconstruction: Reconstruction, rows: bool) -> None:
    """Through a residual, a clip, groups, a concatenation and a fully connected layer."""
    graph, x = branches(), images(6)
    full = {}
    for layer in float_convolutions(graph.layers):
        outputs, inputs = layer.weight.shape[:2]
        if layer.groups == 1:
            full[layer.name] = Ranks(outputs, 3 * inputs if rows and layer.window.kernel == (3, 3) else None)
    small = Rewriting(graph, x, full, spectra(graph, x), reconstruction).run()
    assert len(small.layers) == len(graph.layers) + sum(2 if ranks.rows else 1 for ranks in full.values())
    other = images(4, seed=9)
    for tensor in ("joined.y", "half.y", *graph.outputs):
        was = float_values(graph, other, tensor)
        assert np.abs(float_values(small, other, tensor) - was).max() < 1e-5 * max(1, np.abs(was).max())


def error(graph: FloatGraph, small: FloatGraph, x: np.ndarray) -> float:
    was, now = (float_values(each, x, graph.outputs[0]) for each in (graph, small))
    return float(np.square(was - now).mean() / np.square(was).mean())


def test_each_step_of_the_paper_comes_nearer_to_the_network() -> None:
    graph, x, other = branches(), images(64), images(64, seed=9)
    ranks, found = {"body": Ranks(5), "joined": Ranks(4, 8), "signed": Ranks(5)}, spectra(graph, x)
    ways: tuple[Reconstruction, ...] = ("linear", "symmetric", "asymmetric")
    linear, symmetric, asymmetric = (error(graph, Rewriting(graph, x, ranks, found, way).run(), other) for way in ways)
    assert asymmetric < symmetric < linear


def test_layers_that_are_not_cut() -> None:
    """They make good what those before them lost, unless they are to stay."""
    graph, x = branches(), images(16)
    found, ranks = spectra(graph, x), {"joined": Ranks(2)}
    small = Rewriting(graph, x, ranks, found, "asymmetric", ["fc"]).run()
    plain = Rewriting(graph, x, ranks, found, "symmetric").run()
    others = [layer for layer in float_convolutions(graph.layers) if layer.name != "joined"]

    def changed(other: FloatGraph) -> set[str]:
        return {each.name for each in others if not np.array_equal(float_conv(other, each.name).weight, each.weight)}

    assert changed(small) == {"left", "signed"} and not changed(plain)
    assert error(graph, small, images(16, seed=9)) < error(graph, plain, images(16, seed=9))
