"""Integers of weights and biases, and the fractional lengths that accumulators hold."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.target import Target
from quant.ir.tensor import Bound
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.search.assemble import Operand, fit_weight_frac, over_limits, quantize_bias, quantize_weights

DATA = Operand(QFormat(8, 4), Bound(-128, 127))


def conv(weight: np.ndarray, bias: float) -> FloatConv:
    return FloatConv("conv", "x", "y", weight, np.full(len(weight), bias), Window(), 1)


@pytest.mark.parametrize("bias", [0.0, 1.0, 1e6, -1e20, 3e38])
@pytest.mark.parametrize("residual", [None, Operand(QFormat(8, 6), Bound(-128, 127))])
def test_lengths_are_the_largest_that_accumulators_hold(rng, bias, residual):
    layer, start = conv(rng.normal(size=(5, 16, 1, 1)), bias), np.array([4, 7, 9, 20, 40])
    found = fit_weight_frac(layer, 8, start, DATA, residual, Target())

    def over(frac: np.ndarray) -> np.ndarray:
        acc_frac = DATA.fmt.frac + frac
        weight, integers = quantize_weights(layer.weight, 8, frac), quantize_bias(layer.bias, acc_frac)
        return over_limits(weight, integers, acc_frac, DATA.bound, residual, Target())

    assert (found <= start).all() and not over(found).any()
    most = start if residual is None else np.minimum(start, Target().residual_shifts[-1] + 6 - 4)
    assert (over(found + 1) | (found == most)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_and_biases_that_are_no_numbers_are_refused(value):
    weight = np.ones((2, 3, 1, 1))
    broken = weight.copy()
    broken[1, 2] = value
    for layer in (conv(weight, value), conv(broken, 0.0)):
        with pytest.raises(UnsupportedNetwork, match="layer conv: a weight or a bias is not a finite number"):
            fit_weight_frac(layer, 8, np.zeros(2, np.int64), DATA, None, Target())


def test_weights_are_rounded_in_the_format_of_their_channel():
    weight = np.array([[0.3, -0.3], [2.5, -9.0]]).reshape(2, 2, 1, 1)
    found = quantize_weights(weight, 4, np.array([3, 0]))
    assert found.dtype == np.int64 and found.reshape(2, 2).tolist() == [[2, -2], [2, -8]]


def test_a_bias_beyond_62_bits_is_one_that_nothing_holds():
    assert np.array_equal(quantize_bias(np.array([0.75, 1e30]), np.array([2, 3])), [3, 2**62])
    assert dequantize(quantize_bias(np.array([0.75]), np.array([2])), 2) == 0.75


@pytest.mark.parametrize(("finer", "bias", "over"), [(16, 0, False), (16, 1, True), (17, 0, True), (0, 1 << 23, False)])
def test_the_shifted_residual_counts_beside_the_bias(finer, bias, over):
    residual = Operand(QFormat(8, 4), Bound(-128, 127))  # 128 << 16 is what a sum of both may reach
    weight, biases = np.zeros((1, 1, 1, 1), np.int64), np.array([bias - 128 * (not finer)])
    found = over_limits(weight, biases, np.array([4 + finer]), DATA.bound, residual, Target())
    assert Target().bias_reach == 128 << 16 and found.tolist() == [over]
