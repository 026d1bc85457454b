"""Weights rounded against the layer's output: never worse than to nearest, a local optimum, deterministic."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.window import Window
from quant.search import quantize_network, rounding
from quant.search.admissible import Admissible
from quant.search.rounding import correlations, inverse_factor, output_errors, round_against
from tests.quant.float_graphs import Builder, images
from tests.quant.search_checks import convolutions, float_conv, float_values, respects, sqnr, values


def definite(rng: np.random.Generator, groups: int, terms: int, condition: float = 2.0) -> np.ndarray:
    """Random positive definite matrices (groups, terms, terms), eigenvalues over `condition` decades and beyond."""
    mixed = rng.normal(size=(groups, terms, terms)) * 10.0 ** rng.uniform(-condition / 2, 0, (groups, 1, terms))
    return np.matmul(mixed, mixed.swapaxes(1, 2)) + 1e-3 * np.eye(terms)


def nearest(weight: np.ndarray, low: int, high: int) -> np.ndarray:
    return np.clip(np.rint(weight), low, high)


def test_nearest_integers_where_products_of_inputs_underflow(rng):
    weight = rng.normal(0, 20, (1, 4, 9))
    np.testing.assert_array_equal(
        round_against(weight, np.zeros((1, 9, 9)), Admissible(-128, 127)), nearest(weight, -128, 127)
    )


@pytest.mark.parametrize("groups, terms", [(1, 1), (3, 9), (1, 64), (2, 65), (1, 300)])
def test_the_factor_of_the_inverse(rng, groups, terms):
    matrix = definite(rng, groups, terms, 1.0)
    upper = inverse_factor(matrix)
    assert np.array_equal(upper, np.triu(upper)) and (np.einsum("gkk->gk", upper) > 0).all()
    product = np.matmul(np.matmul(upper.swapaxes(1, 2), upper), matrix)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(terms), product.shape), rtol=0, atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        inverse_factor(-matrix)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("groups", [1, 3, 16])
@pytest.mark.parametrize("terms", [1, 9, 70, 130])
def test_the_output_moves_less_than_with_nearest_integers(rng, bits, groups, terms):
    """For every channel."""
    fmt = QFormat(bits, 0)
    outputs = 5 if groups < 16 else 1
    weight = rng.normal(size=(groups, outputs, terms)) * fmt.high / 2.5  # some saturate
    matrix = definite(rng, groups, terms)
    found = round_against(weight, matrix, Admissible(fmt.low, fmt.high))
    assert found.shape == weight.shape
    assert np.array_equal(found, np.rint(found)) and found.min() >= fmt.low and found.max() <= fmt.high
    ours = output_errors(weight - found, matrix)
    theirs = output_errors(weight - nearest(weight, fmt.low, fmt.high), matrix)
    assert (ours <= theirs * (1 + 1e-9)).all()
    if terms > 1:
        assert ours.sum() < theirs.sum() * 0.9


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("terms", [1, 2, 9, 64, 65, 100])
def test_no_single_step_improves_the_result(rng, monkeypatch, bits, terms):
    """Once descent has ended; with few passes it may stop before."""
    monkeypatch.setattr(rounding, "PASSES", 1000)
    fmt = QFormat(bits, 0)
    weight = rng.normal(size=(2, 4, terms)) * fmt.high / 2
    matrix = definite(rng, 2, terms)
    found = round_against(weight, matrix, Admissible(fmt.low, fmt.high))
    least = output_errors(weight - found, matrix)
    for k in range(terms):
        for step in (-1, 1):
            moved = found.copy()
            moved[:, :, k] += step
            allowed = (moved[:, :, k] >= fmt.low) & (moved[:, :, k] <= fmt.high)
            assert (output_errors(weight - moved, matrix) >= least * (1 - 1e-9) - 1e-9)[allowed].all()


def test_two_weights_against_every_pair_of_integers(rng):
    for _ in range(50):
        weight, matrix = rng.normal(size=(1, 1, 2)) * 3, definite(rng, 1, 2, 1.0)
        found = round_against(weight, matrix, Admissible(-8, 7))
        pairs = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-8, 8)), -1).reshape(1, -1, 2)
        best = output_errors(weight - pairs, matrix).min()
        ours = output_errors(weight - found, matrix).item()
        rounded = output_errors(weight - nearest(weight, -8, 7), matrix).item()
        assert best * (1 - 1e-12) <= ours <= rounded * (1 + 1e-12)  # sums of floats, in whatever order


def test_uncorrelated_inputs_leave_every_weight_at_its_nearest(rng):
    weight = rng.normal(size=(2, 6, 80)) * 60
    diagonal = np.stack([np.eye(80), np.diag(rng.uniform(0.01, 9, 80))])
    assert np.array_equal(round_against(weight, diagonal, Admissible(-128, 127)), nearest(weight, -128, 127))


def test_whole_numbers_stay(rng):
    weight = rng.integers(-8, 8, (3, 5, 40)).astype(float)
    assert np.array_equal(round_against(weight, definite(rng, 3, 40), Admissible(-8, 7)), weight)


def test_groups_are_solved_as_each_alone_and_channels_too(rng):
    weight, matrix = rng.normal(size=(6, 4, 75)) * 50, definite(rng, 6, 75)
    together = round_against(weight, matrix, Admissible(-128, 127))
    for g in range(6):
        assert np.array_equal(
            round_against(weight[g : g + 1], matrix[g : g + 1], Admissible(-128, 127))[0], together[g]
        )
        alone = round_against(weight[g : g + 1, 2:3], matrix[g : g + 1], Admissible(-128, 127))
        assert np.array_equal(alone[0, 0], together[g, 2])


def test_blocks_do_not_change_the_result(rng, monkeypatch):
    weight, matrix = rng.normal(size=(2, 4, 50)) * 40, definite(rng, 2, 50)
    whole = round_against(weight, matrix, Admissible(-128, 127))
    monkeypatch.setattr(rounding, "BLOCK", 7)
    assert np.array_equal(round_against(weight, matrix, Admissible(-128, 127)), whole)


def test_output_errors_by_definition(rng):
    errors, matrix = rng.normal(size=(3, 4, 5)), definite(rng, 3, 5)
    found = output_errors(errors, matrix)
    for g in range(3):
        for o in range(4):
            assert found[g, o] == pytest.approx(errors[g, o] @ matrix[g] @ errors[g, o])


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 40, 500])
def test_correlations_are_positive_definite_whatever_the_input(rng, rows, depthwise):
    """Fewer rows than inputs, inputs that are copies of others, that never change, or are all zero."""
    patches = rng.normal(size=(4, rows, 12)).astype(np.float32)
    patches[1, :, 3] = patches[1, :, 4]
    patches[2, :, 5:] = 0
    patches[3] = 0
    found = correlations(patches, depthwise)
    assert found.shape == (4, 12, 12) and found.dtype == np.float64
    assert np.allclose(found, found.swapaxes(1, 2))
    eigenvalues = np.linalg.eigvalsh(found)
    assert (eigenvalues[:, 0] > 1e-6 * eigenvalues[:, -1]).all() and (eigenvalues > 0).all()
    assert np.isfinite(round_against(rng.normal(size=(4, 2, 12)) * 5, found, Admissible(-8, 7))).all()


def test_correlations_of_many_rows_are_near_the_second_moments(rng):
    patches = (rng.normal(size=(1, 20000, 6)) @ rng.normal(size=(6, 6))).astype(np.float32)
    exact = patches[0].T.astype(np.float64) @ patches[0] / 20000
    assert np.abs(correlations(patches, False)[0] - exact).max() < 0.01 * np.abs(exact).max()


# in a network


def one_layer(seed: int, groups: int = 1, window: Window | None = None):
    net = Builder(seed, channels=8)
    window = window or Window((3, 3), pads=(1, 1, 1, 1))
    return net.graph(net.conv("only", "x", 16 if groups < 8 else 8, window, clip=(None, None), groups=groups))


def smooth(count: int, channels: int = 8, seed: int = 3) -> np.ndarray:
    """Images whose pixels depend on their neighbours, as those of photographs do."""
    noise = images(count, channels, 14, seed)
    return np.ascontiguousarray(sum(noise[:, :, i : 12 + i, j : 12 + j] for i in range(3) for j in range(3)))


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("window", [None, Window((3, 3), (2, 1), (2, 0, 1, 2), (2, 1))])
def test_a_layers_output_is_kept_better_than_with_nearest_weights(groups, window):
    graph = one_layer(1, groups, window)
    x, other = smooth(24), smooth(24, seed=9)
    found = {}
    for word in ("nearest", "output"):
        network = quantize_network(graph, x, weight_bits=4, rounding=word)
        respects(network)
        found[word] = sqnr(network, graph, x), sqnr(network, graph, other)
    assert found["output"][0] > found["nearest"][0] + 1  # dB
    assert found["output"][1] > found["nearest"][1]


def test_one_format_a_layer_can_be_rounded_against_the_output():
    graph = one_layer(2, groups=2)
    x = smooth(16)
    found = {}
    for word in ("nearest", "output"):
        network = quantize_network(graph, x, weight_bits=4, rounding=word, granularity="layer")
        respects(network)
        [conv] = convolutions(network)
        assert len(set(conv.weight_frac.tolist())) == 1
        found[word] = sqnr(network, graph, x)
    assert found["output"] > found["nearest"]


def test_weights_move_from_their_nearest_by_few_units():
    graph = one_layer(4)
    [conv] = convolutions(quantize_network(graph, smooth(16), equalization=None))
    distance = np.abs(dequantize(conv.weight, conv.weight_frac.reshape(-1, 1, 1, 1)) - float_conv(graph, "only").weight)
    units = distance * 2.0 ** conv.weight_frac.reshape(-1, 1, 1, 1)
    assert 0.5 < units.max() < 8


def test_aiming_at_the_float_network_improves_4_bit_logits():
    """Layers that know what those before them lost: on average of several networks, on other images."""
    gains = []
    for seed in range(5):
        net = Builder(seed, channels=8)
        y = net.conv("first", "x", 10)
        for depth in range(3):
            y = net.conv(f"conv{depth}", y, 10)
        y = net.pool("pool", y, "average", Window((12, 12)))
        graph = net.graph(net.conv("fc", y, 10, Window(), clip=(None, None)))
        x, other = smooth(32, seed=seed), smooth(32, seed=100 + seed)
        alone = {"weight_bits": 4, "equalization": 0.3, "weight_scales": False}
        aimed, plain = (sqnr(quantize_network(graph, x, target_bits=bits, **alone), graph, other) for bits in (4, 0))
        gains.append(aimed - plain)
    assert np.mean(gains) > 0.5, gains  # dB


def test_wide_layers_do_not_aim_at_the_float_network():
    net = Builder(0, size=6)
    graph = net.graph(net.conv("two", net.conv("one", "x", 6), 6, clip=(None, None)))
    x = images(8, size=6)
    given = {"rounding": "output"}  # by name: on 8 images it would have to win on those held back first
    aimed, plain, all_aim = (quantize_network(graph, x, target_bits=bits, **given) for bits in (4, 0, 8))
    for a, b in zip(convolutions(aimed), convolutions(plain), strict=True):
        assert np.array_equal(a.weight, b.weight)
    assert not np.array_equal(convolutions(all_aim)[1].weight, convolutions(plain)[1].weight)
    wanted = float_values(graph, x, "two.y")
    errors = [np.square(values(network, x, "two.y") - wanted).mean() for network in (all_aim, plain)]
    assert errors[0] < errors[1] * 1.1
