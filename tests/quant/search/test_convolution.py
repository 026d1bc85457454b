"""One convolution's integers: what the solver refuses, and what it makes coarser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.target import Target
from quant.ir.tensor import Bound
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.search import assemble, convolution
from quant.search.assemble import Operand, over_limits
from quant.search.convolution import Solver
from quant.search.options import Options
from quant.search.placed import Placed


def placed(rng, size: float = 1.0, bias: float = 0.1) -> Placed:
    """A layer of 3 inputs and 2 outputs, and 50 positions of data of this size."""
    weight = rng.normal(size=(2, 3, 1, 1))
    layer = FloatConv("conv", "x", "y", weight, np.full(2, bias), Window(), 1)
    frac = 7 - int(np.ceil(np.log2(4 * size)))
    patches = (rng.integers(-128, 128, (1, 50, 3)) * 2.0**-frac).astype(np.float32)
    wanted = (patches[0].astype(np.float64) @ weight.reshape(2, 3).T + bias).astype(np.float32)
    data = Operand(QFormat(8, frac), Bound(-128, 127))
    return Placed(layer, data, None, patches, None, wanted, (None, None), None, None)


def solver(**changes) -> Solver:
    return Solver(Options.of(**changes), Target(), {"conv": 8}, {}, {})


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_how_large_the_data_are_changes_no_weight(rng, effort):
    """Powers of two move fractional lengths and nothing else, as far as float32 holds the sums of their squares."""
    small = placed(rng)
    grown = 2.0**50
    large = replace(
        small,
        layer=replace(small.layer, bias=small.layer.bias * grown),
        data=replace(small.data, fmt=QFormat(8, small.data.fmt.frac - 50)),
        patches=small.patches * np.float32(grown),
        wanted=small.wanted * np.float32(grown),
    )
    one, other = solver(effort=effort).solve(small), solver(effort=effort).solve(large)
    assert np.array_equal(one.weight, other.weight) and np.array_equal(one.frac, other.frac)
    assert np.array_equal(one.bias, other.bias)


@pytest.mark.parametrize("effort", ["fast", "default"])
@pytest.mark.parametrize("size", [1e19, 1e30, 2.0**124])
def test_data_beyond_what_sums_hold_are_refused_or_solved(rng, effort, size):
    """It never looks for a fractional length that does not exist."""
    case = placed(rng, size)
    try:
        found = solver(effort=effort).solve(case)
    except UnsupportedNetwork as error:
        assert effort == "default"
        assert str(error) == (
            "layer conv: on the calibration images x holds values so large that sums over them are beyond float32"
        )
    else:
        acc_frac = case.data.fmt.frac + found.frac
        assert not over_limits(found.weight, found.bias, acc_frac, case.data.bound, None, Target()).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("effort", ["fast", "default"])
def test_data_that_are_no_numbers_are_refused(rng, effort, value):
    case = placed(rng)
    patches = case.patches.copy()
    patches[0, 7, 1] = value
    with pytest.raises(UnsupportedNetwork, match="layer conv: .* x holds values so large"):
        solver(effort=effort).solve(replace(case, patches=patches))


def test_a_bias_of_any_size_ends(rng):
    """The largest that float32 holds: the weights beside it become zero."""
    case = placed(rng, bias=3e38)
    found = solver().solve(case)
    assert not found.weight.any() and np.abs(found.bias).max() < 2**31
    assert np.ldexp(found.bias.astype(float), -(case.data.fmt.frac + found.frac)) == pytest.approx(3e38, rel=1e-6)


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_a_solution_holds_up_to_its_ceiling_and_no_higher(rng, effort):
    case = placed(rng)
    before = solver(effort=effort).solve(case)
    highest = case.data.fmt.frac + int(before.frac.max())
    for ceiling in (None, highest, highest + 3):
        assert solver(effort=effort).solve(case, before, ceiling) is before
    lower = solver(effort=effort).solve(case, before, highest - 1)
    assert case.data.fmt.frac + int(lower.frac.max()) == highest - 1


@pytest.mark.parametrize("highest", [None, 3])
def test_large_layers_are_solved_a_few_channels_at_a_time(rng, monkeypatch, highest):
    """With the same result: no output channel depends on another."""
    case = replace(placed(rng), factor=np.array([2.0, 0.75]).reshape(2, 1, 1, 1), high=np.array([1.0, 2.0]))
    whole = solver(effort="fast").solve(case)
    ending = solver(effort="fast").solve(case, whole, highest)
    for module in (assemble, convolution):
        monkeypatch.setattr(module, "PART", 3)
    parts = solver(effort="fast").solve(case)
    for one, other in ((whole, parts), (ending, solver(effort="fast").solve(case, parts, highest))):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("frac", "weight", "bias"))
        assert np.allclose(one.found, other.found, rtol=1e-6)
