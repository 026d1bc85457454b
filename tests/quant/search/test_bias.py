"""Bias correction: of the mean, and behind the activation."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.window import Window
from quant.search import quantize_network
from quant.search.bias import FEWEST, active_correction, mean_correction
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, float_values, respects, values

OPEN = (None, None)


def test_the_mean_correction_is_the_difference_of_means(rng):
    found = rng.normal(size=(400, 5))
    wanted = found + np.array([0.0, 0.25, -3.0, 1e-6, 7.0])
    assert mean_correction(wanted, found) == pytest.approx([0, 0.25, -3, 1e-6, 7], abs=1e-12)
    noise = rng.normal(size=found.shape)
    assert mean_correction(wanted + noise - noise.mean(0), found) == pytest.approx([0, 0.25, -3, 1e-6, 7], abs=1e-12)


def test_without_activation_nothing_more_is_corrected(rng):
    wanted, found = rng.normal(size=(2, 100, 3))
    assert (active_correction(wanted, found, None, None) == 0).all()


def test_the_active_correction_of_handmade_values():
    """Of what passes the ReLU, all lack one half: once that is added, nothing is left to correct."""
    passing, below = np.linspace(1, 3, 40), np.full(40, -5.0)
    found = np.concatenate([passing, below])[:, None]
    wanted = np.concatenate([passing + 0.5, below - 0.5])[:, None]
    assert active_correction(wanted, found, 0.0, None) == pytest.approx([0.5])
    assert active_correction(-wanted, -found, None, np.zeros(1)) == pytest.approx([-0.5])
    assert active_correction(np.hstack([wanted, found]), np.hstack([found, found]), 0.0, None) == pytest.approx(
        [0.5, 0]
    )


def test_a_bound_of_each_channel_counts():
    found = np.repeat(np.linspace(0, 4, 81)[:, None], 2, axis=1)
    wanted = found + 0.25
    both = active_correction(wanted, found, 0.0, np.array([1.0, 3.0]))
    first, second = (active_correction(wanted[:, :1], found[:, :1], 0.0, np.array([high])) for high in (1.0, 3.0))
    assert both == pytest.approx([first[0], second[0]]) and first != pytest.approx(second)


def test_what_saturates_teaches_nothing_and_few_values_neither():
    found = np.concatenate([np.full(100, 9.0), np.linspace(1, 2, FEWEST - 1)])[:, None]
    wanted = found + np.where(found > 6, 50.0, 0.5)  # far beyond the clip, whatever the error there
    assert active_correction(wanted, found, 0.0, np.array([6.0])) == 0
    more, longer = (np.concatenate([array, array[-1:]]) for array in (found, wanted))
    assert active_correction(longer, more, 0.0, np.array([6.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (0.0, 6.0), (None, 1.0), (-1.0, 1.0)])
def test_the_active_correction_reduces_the_squared_error_behind_the_activation(rng, low, high):
    wanted = rng.normal(size=(3000, 24)) * rng.uniform(0.5, 4, 24) - rng.normal(size=24)
    found = wanted + rng.normal(size=wanted.shape) * 0.5 + 0.3 * np.abs(wanted)
    found += mean_correction(wanted, found)

    def error(more: np.ndarray) -> np.ndarray:
        clipped = (np.clip(v, -np.inf if low is None else low, high) for v in (wanted, found + more))
        return np.square(np.subtract(*clipped)).sum(0)

    before, after = error(np.zeros(24)), error(active_correction(wanted, found, low, high and np.full(24, high)))
    assert (after <= before * (1 + 1e-3)).all() and after.sum() < before.sum() * 0.99


def test_mean_correction_removes_the_mean_error_of_every_channel():
    """Where nothing is clipped, up to the rounding of the output and of the bias."""
    net = Builder(6)
    one = net.conv("one", "x", 8, clip=OPEN)
    two = net.conv("two", one, 8, groups=8, clip=OPEN, residual=one)
    graph = net.graph(net.conv("three", two, 8, clip=OPEN))
    x = images(30) + np.float32(0.7)
    corrected, active, plain = (
        quantize_network(graph, x, weight_bits=4, bias_correction=word, rounding="nearest", equalization=None)
        for word in ("mean", "active", "none")
    )
    for conv in convolutions(corrected):
        wanted = float_values(graph, x, conv.output)
        step = corrected.tensors[conv.output].fmt.step
        bias_step = 2.0 ** -float((corrected.tensors[conv.input].fmt.frac + conv.weight_frac).min())
        left, same, without = (
            np.abs((values(network, x, conv.output) - wanted).mean((0, 2, 3))).max()
            for network in (corrected, active, plain)
        )
        assert left < 0.02 * step + 0.51 * bias_step
        assert left < without / 3
        assert same == left  # nothing stands behind an activation


@pytest.mark.parametrize("word", ["mean", "active"])
def test_correction_moves_nothing_but_biases_and_what_follows_from_them(word):
    graph = branches()
    steps = {"rounding": "nearest", "equalization": None}  # rounding against the output sees moved inputs
    corrected, plain = (quantize_network(graph, images(6), bias_correction=w, **steps) for w in (word, "none"))
    for one, two in zip(convolutions(corrected), convolutions(plain), strict=True):
        assert (one.weight == two.weight).all() and (one.bias != two.bias).any()
    respects(corrected)
    assert corrected.metadata["quantization.bias_correction"] == word


def test_active_correction_helps_behind_relu():
    """Depthwise layers at 4 bits, where a channel's error is large: squared error behind the activation, calibration
    images, mean of several networks.
    """
    ratios = []
    for seed in range(4):
        net = Builder(seed)
        one = net.conv("one", "x", 8, groups=1)
        two = net.conv("two", one, 8, groups=8)
        graph = net.graph(two, net.conv("end", two, 4, Window(), clip=OPEN))
        x = images(12, seed=seed)
        wanted = float_values(graph, x, two)
        errors = [
            np.square(values(quantize_network(graph, x, weight_bits=4, bias_correction=word), x, two) - wanted).mean()
            for word in ("mean", "active")
        ]
        ratios.append(errors[1] / errors[0])
    assert np.mean(ratios) < 1
