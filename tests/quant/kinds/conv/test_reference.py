"""A convolution as the executor runs it, against loops over Python's integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv
from tests.quant.reference import S8, U8, WINDOWS, agrees, conv, images, one_layer


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "outputs"), [(1, 5), (2, 6), (4, 4), (4, 8)])
@pytest.mark.parametrize("fmt", [U8, S8])
def test_convolution(seed, window, groups, outputs, fmt):
    rng = np.random.default_rng(seed)
    layer = conv(rng, (4, 9, 7), outputs, window, groups)
    network = one_layer(layer, (4, 9, 7), (outputs, *window.output_size(9, 7)), fmt, QFormat(8, 2, signed=False))
    agrees(network, images(rng, network))


@pytest.mark.parametrize("scale", [1, 2**7, 2**36])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolution_in_float32_float64_and_integers(seed, scale, groups):
    """Weights and bias grow until the bound passes 2**24, then 2**53; the result stays exact."""
    rng = np.random.default_rng(seed)
    fmt = QFormat(16, 4)
    layer = conv(rng, (4, 5, 5), 4, Window((3, 3)), groups, clip=(-32768, 32767))
    layer = dataclasses.replace(layer, weight=layer.weight * scale + 1, bias=layer.bias * scale + 1)
    layer = dataclasses.replace(layer, weight_frac=layer.weight_frac + scale.bit_length(), weight_bits=46)
    x = rng.integers(-900, 900, (3, 4, 5, 5))
    network = one_layer(layer, (4, 5, 5), (4, 3, 3), QFormat(11, 4), fmt)
    types = {1: np.float32, 2**7: np.float64, 2**36: np.int64}
    assert layer.prepare(network.tensors, tensor_bounds(network)).dtype == types[scale]
    agrees(network, x)


def test_ties_are_rounded_to_even():
    """A weight of 1 and a shift of 1 make every odd input a tie."""
    ones = np.ones((1, 1, 1, 1), np.int64)
    layer = Conv("conv", "x", "y", ones, np.array([1]), 8, np.array([0]), Window(), 1, (-128, 127))
    network = one_layer(layer, (1, 1, 256), (1, 1, 256), QFormat(8, 3), QFormat(8, 3))
    x = np.arange(-128, 128).reshape(1, 1, 1, 256)
    assert (agrees(network, x)["y"] == np.rint(x / 2)).all()


@pytest.mark.parametrize("right", [-15, -9, -1, 0, 1, 14, 32])
def test_shifts_of_either_sign(seed, right):
    rng = np.random.default_rng(seed)
    layer = conv(rng, (3, 4, 4), 2, Window(), clip=(-128, 127))
    layer = dataclasses.replace(
        layer, weight_frac=np.array([right, right + 3]), weight=layer.weight % 3 - 1, bias=layer.bias % 5
    )
    network = one_layer(layer, (3, 4, 4), (2, 4, 4), QFormat(8, 5), QFormat(8, 5))
    agrees(network, images(rng, network))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_residual_shares_the_one_rounding(seed, kernel):
    rng = np.random.default_rng(seed)
    window = Window(kernel, pads=(kernel[0] - 1, 0, 0, kernel[1] - 1))
    layer = conv(rng, (4, 6, 6), 4, window, residual="r", clip=(0, 200))
    stem = dataclasses.replace(conv(rng, (4, 6, 6), 4, Window()), name="stem", output="r")
    tensors = {
        "x": Tensor("x", (4, 6, 6), S8),
        "r": Tensor("r", (4, 6, 6), QFormat(8, 3, signed=False)),
        "y": Tensor("y", (4, 6, 6), QFormat(8, 1, signed=False)),
    }
    network = Network("net", tensors, (stem, layer), ("x",), ("y", "r"))
    right, left = layer.shifts(network.tensors)
    assert (left == layer.weight_frac + 4 - 3).all() and (right == layer.weight_frac + 4 - 1).all()
    agrees(network, images(rng, network))
