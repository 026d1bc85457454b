"""Bounds of tensors and accumulators, and the proof of a width."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.bounds import accumulator_bound, prove, tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window
from quant.kinds import kernels
from tests.quant.reference import S8, U8, branches, conv, images


@pytest.mark.parametrize("fmt", [U8, S8, QFormat(3, 0), QFormat(3, 0, signed=False)])
def test_the_bound_is_reached_by_some_order_and_passed_by_none(seed, fmt):
    """Partial sums of every subset of terms are its definition: the extremes are built here term by term."""
    rng = np.random.default_rng(seed)
    layer = conv(rng, (2, 3, 3), 3, Window((3, 3)), residual="x2", clip=(0, 7))
    tensors = {
        "x": Tensor("x", (2, 3, 3), fmt),
        "x2": Tensor("x2", (3, 1, 1), QFormat(8, 2)),
        "y": Tensor("y", (3, 1, 1), QFormat(8, 0, signed=False)),
    }
    stem = dataclasses.replace(conv(rng, (2, 3, 3), 3, Window((3, 3)), clip=(-50, 100)), name="stem", output="x2")
    network = Network("net", tensors, (stem, layer), ("x",), ("y",))
    low = high = 0
    for o in range(3):
        left = fmt.frac + int(layer.weight_frac[o]) - 2
        terms = [[int(w) * fmt.low, int(w) * fmt.high, 0] for w in layer.weight[o].ravel()]
        terms += [[int(layer.bias[o]), 0], [-50 << left, 100 << left, 0]]
        low, high = min(low, sum(map(min, terms))), max(high, sum(map(max, terms)))
    assert accumulator_bound(network, layer) == Bound(low, high)


def test_the_bound_uses_the_clip_of_the_layer_before():
    network = branches(np.random.default_rng(0))
    assert tensor_bounds(network)["c"] == Bound(0, 24)
    assert tensor_bounds(network)["d"] == tensor_bounds(network)["e"] == Bound(0, 255)
    pool = network.layers[5]
    assert accumulator_bound(network, pool) == Bound(0, 4 * 255) and accumulator_bound(network, pool).bits == 11


def test_no_accumulator_leaves_its_bound(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    layer = network.layers[0]
    x = images(rng, network, 50)
    acc = kernels.convolve(x.swapaxes(0, 1), layer.weight, layer.window, 1, np.dtype(np.int64))
    acc += layer.bias.reshape(-1, 1, 1, 1)
    bound = accumulator_bound(network, layer)
    assert bound.low <= acc.min() and acc.max() <= bound.high
    assert -(2 ** (bound.bits - 1)) <= bound.low and bound.high < 2 ** (bound.bits - 1)


def test_prove_names_layer_bound_and_width():
    network = branches(np.random.default_rng(0))
    prove(network, 32)
    needed = [accumulator_bound(network, layer).bits for layer in network.layers]
    worst = network.layers[int(np.argmax(needed))]
    prove(network, max(needed))
    magnitude = accumulator_bound(network, worst).magnitude
    bits = max(needed)
    message = (
        f"^layer {worst.name}: the accumulator can reach {magnitude}, which needs {bits} bits, and has {bits - 1}$"
    )
    with pytest.raises(UnsupportedNetwork, match=message):
        prove(network, max(needed) - 1)
