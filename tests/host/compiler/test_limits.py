"""What the fields of instructions hold of a layer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.compiling import ALL, changed, check, one_conv, one_pool, refused
from tests.host.networks import Builder


def test_large_strides() -> None:
    wide, pooled = one_conv(Window((1, 1), (40, 1)), (8, 90, 2)), one_pool("max", Window((2, 2), (16, 1)), (8, 90, 2))
    assert refused(wide) == "layer layer0: 40 stride rows, at most 31 fit: use a smaller window"
    assert refused(pooled) == "layer layer0: 16 stride rows, at most 15 fit: use a smaller window"


def test_large_kernels() -> None:
    network = one_pool("average", Window((128, 1)), (8, 130, 2))
    assert refused(network) == "layer layer0: 128 kernel rows, at most 127 fit: use a smaller window"


def requantized(frac: int, out_frac: int) -> Network:
    """A convolution of 8 fractional bits in data and `frac` in weights, whose output has `out_frac`."""
    network = changed(one_conv(), weight_frac=np.full(8, frac), bias=np.zeros(8, np.int64))
    formats = {"x": QFormat(8, 8), "t0": QFormat(8, out_frac)}
    tensors = {name: dataclasses.replace(t, fmt=formats[name]) for name, t in network.tensors.items()}
    return dataclasses.replace(network, tensors=tensors)


@pytest.mark.parametrize("shift", [60, 49, -16, -20, 200, -200])
def test_shifts_beyond_the_engine(shift: int) -> None:
    assert refused(requantized(20, 28 - shift)) == (
        f"layer layer0: a shift by {shift} bits, and the engine shifts by -15 to 48: "
        "quantize the float network with `shiftpoint quantize`, which keeps to what the engine has"
    )


@ALL
@pytest.mark.parametrize("shift", [48, -15])
def test_shifts_at_the_ends_of_the_range(config: AcceleratorConfig, shift: int, rng: np.random.Generator) -> None:
    check(requantized(20, 28 - shift), config, rng)


@pytest.mark.parametrize("layer", ["conv", "add"])
def test_residual_shifts_beyond_the_engine(layer: str) -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    fine = b.conv("x", 8)
    coarse = b.conv("x", 8, fmt=QFormat(8, -30))
    b.conv(fine, 8, residual=coarse) if layer == "conv" else b.add(fine, coarse)
    assert ": a residual shift by " in refused(b.network())
