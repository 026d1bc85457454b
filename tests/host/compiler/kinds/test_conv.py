"""Convolutions and fully connected layers on the engine."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Opcode
from quant.ir.fixedpoint import QFormat
from quant.ir.well_formed import Malformed
from quant.ir.window import Window
from tests.host.compiling import ALL, changed, check, one_conv, refused
from tests.host.networks import SAME, Builder


@ALL
@pytest.mark.parametrize(
    ("shape", "outputs", "window"),
    [
        ((16, 12, 10), 20, SAME),
        ((3, 17, 17), 9, Window((3, 3), (2, 2), (0, 0, 1, 1))),
        ((1, 49, 10), 8, Window((10, 4), (2, 2), (4, 1, 5, 1))),
        ((24, 9, 7), 5, Window((1, 1), (2, 1))),
        ((10, 15, 13), 33, Window((3, 2), (1, 3), (2, 0, 1, 4), (2, 3))),
        ((3, 23, 23), 17, Window((11, 11), (4, 4), (2, 2, 2, 2))),
        ((5, 4, 300), 6, Window((2, 3), (1, 1), (0, 1, 0, 1))),
    ],
    ids=["same", "first", "keywords", "pointwise", "dilated", "large kernel", "wide map"],
)
def test_convolution(
    config: AcceleratorConfig, shape: tuple[int, int, int], outputs: int, window: Window, rng: np.random.Generator
) -> None:
    b = Builder(rng, shape)
    b.conv(b.conv("x", outputs, window), 7, Window())
    check(b.network("t0"), config, rng)


@ALL
@pytest.mark.parametrize("shape", [(640, 1, 1), (16, 7, 7), (4, 14, 14), (1, 28, 28), (40, 3, 2)])
def test_fully_connected(config: AcceleratorConfig, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    b = Builder(rng, shape)
    first = b.conv("x", 30, Window(shape[1:]), op="Gemm")
    copied = b.conv("x", shape[0], Window())
    b.conv(copied, 70, Window(shape[1:]), op="Gemm")
    b.conv(first, 10, Window(), bits=16, op="Gemm")
    check(b.network(), config, rng)


@ALL
@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(48, 48, 48), (40, 40, 80), (4, 32, 12), (3, 33, 60)])
def test_groups(config: AcceleratorConfig, groups: int, inputs: int, outputs: int, rng: np.random.Generator) -> None:
    b = Builder(rng, (inputs, 9, 11))
    b.conv("x", outputs, SAME, groups=groups)
    check(b.network(), config, rng)


def test_depthwise_reads_only_the_groups_that_matter(rng: np.random.Generator) -> None:
    b = Builder(rng, (64, 8, 8))
    b.conv("x", 64, SAME, groups=64)
    config = preset("medium")
    program = compile_network(b.network(), config)
    convs = [i for i in program.decode() if i.opcode is Opcode.CONV]
    assert {i.input_groups for i in convs} == {config.derived.planes}


@ALL
def test_wide_outputs(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (12, 7, 5))
    one = b.conv("x", 21, bits=16, fmt=QFormat(16, 8))
    other = b.conv("x", 10, Window(), fmt=QFormat(16, 8))
    b.concat(one, other)
    b.pool(b.conv("x", 11), "average", Window((7, 5)), bits=16)
    b.conv("x", 9, residual=b.conv("x", 9), bits=16)
    check(b.network(), config, rng)


def test_16_bit_weights() -> None:
    network = changed(one_conv(), weight_bits=16)
    assert refused(network) == (
        "layer layer0: 16-bit weights, and the engine multiplies by 8 bits: quantize with --weight-bits 8"
    )


def test_residual_with_more_fractional_bits_than_the_accumulator() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv("x", 8, residual="x")
    network = changed(b.network(), weight_frac=np.full(8, -3))
    with pytest.raises(Malformed, match="^layer layer0: residual x has more fractional bits than the accumulator$"):
        compile_network(network, preset("small"))
