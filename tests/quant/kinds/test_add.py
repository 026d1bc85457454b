"""Sums of two tensors against Python's fractions, and their bound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.bounds import accumulator_bound
from quant.ir.fixedpoint import EXACT_BITS, QFormat
from quant.ir.network import Network
from quant.ir.tensor import Bound, Tensor
from quant.ir.well_formed import Malformed, well_formed
from quant.ir.window import Window
from quant.kinds.add import Add
from tests.quant.integer_nets import S8, Net
from tests.quant.reference import agrees, conv, images


@pytest.mark.parametrize(("first", "second", "out"), [(4, 4, 4), (4, 7, 3), (-2, 3, 5), (5, 1, -1)])
def test_add_aligns_and_rounds_once(seed, first, second, out):
    rng = np.random.default_rng(seed)
    stem = dataclasses.replace(conv(rng, (4, 3, 3), 4, Window(), clip=(-128, 127)), name="stem", output="a")
    layer = Add("add", ("x", "a"), "y", (-100, 127))
    shape = (4, 3, 3)
    tensors = {n: Tensor(n, shape, QFormat(8, f)) for n, f in (("x", first), ("a", second), ("y", out))}
    network = Network("net", tensors, (stem, layer), ("x",), ("y",))
    agrees(network, images(rng, network))


def test_bound_of_an_add():
    tensors = {n: Tensor(n, (1, 1, 1), QFormat(8, f)) for n, f in (("x", 4), ("y", 0))}
    layer = Add("add", ("x", "x"), "y", (-128, 127))
    network = Network("net", tensors, (layer,), ("x",), ("y",))
    assert accumulator_bound(network, layer) == Bound(-256, 254) and accumulator_bound(network, layer).bits == 9


@pytest.mark.parametrize("frac", [-50, -60, -70, -200])
def test_operands_too_far_apart_are_refused_and_never_wrap(frac: int) -> None:
    """A shift that int64 cannot hold would wrap in silence, and prove what is not so."""
    net = Net((2, 3, 3), S8)
    coarse = net.pool("x", "average", Window(), QFormat(8, frac))
    network = net.network(net.add("x", coarse, S8))
    if S8.bits + S8.frac - frac <= EXACT_BITS:
        assert accumulator_bound(network, network.layers[-1]).magnitude == (128 << S8.frac - frac) + 128
    else:
        with pytest.raises(ValueError, match=r"^operand t0 of 8 bits is shifted left by"):
            network.layers[-1].check(network.tensors)
        with pytest.raises(Malformed):
            well_formed(network)
