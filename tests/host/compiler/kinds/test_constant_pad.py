"""Numbers around a map on the engine: seen by convolutions, written by the host, or copied."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import SetupInstruction
from hw.contract.layout import Fold
from hw.contract.program import Program
from quant.ir.window import Window
from tests.host.compiling import ALL, check, refused
from tests.host.networks import SAME, Builder

PADS = pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 1, 0), (2, 0, 0, 3)])
THREE = Window((3, 3))


def setups(program: Program) -> list[SetupInstruction]:
    return [i for i in program.decode() if isinstance(i, SetupInstruction)]


@ALL
@PADS
@pytest.mark.parametrize("signed", [False, True])
def test_convolutions_see_one_number(
    config: AcceleratorConfig, pads: tuple[int, int, int, int], signed: bool, rng: np.random.Generator
) -> None:
    """Dense, depthwise, strided, pooled: none is a layer more than it would be with zeros."""
    b = Builder(rng, (5, 9, 8), signed)
    inner = b.conv("x", 19)
    padded = b.constant_pad(inner, pads, uniform=True)
    b.conv(padded, 19, THREE, groups=19)
    b.pool(b.conv(padded, 7, Window((3, 2), (2, 1))), "max", Window((2, 2)))
    b.conv(inner, 3)
    program = check(b.network(), config, rng)
    assert len(program.layers) == 4
    values = {setup.pad_value for setup in setups(program)}
    assert values == {0, int(b.layers[1].values[0]) & 0xFFFF}


@ALL
@PADS
@pytest.mark.parametrize("channels", [1, 3, 19])
def test_the_host_writes_what_is_around_an_input(
    config: AcceleratorConfig, pads: tuple[int, int, int, int], channels: int, rng: np.random.Generator
) -> None:
    """Before a convolution whose taps are folded, one that pads itself, one that reads the input as it is."""
    b = Builder(rng, (channels, 9, 8), signed=False)
    padded = b.constant_pad("x", pads)
    b.conv(padded, 7, THREE)
    b.conv(padded, 7, SAME)
    b.conv(padded, channels, THREE, groups=channels)
    b.conv("x", 4)
    program = check(b.network(), config, rng)
    assert len(program.layers) == 4
    folds = [placement.fold for placement in program.inputs]
    assert Fold(Window(pads=pads), tuple(b.layers[0].values.tolist())) in folds


@ALL
@PADS
@pytest.mark.parametrize("shape", [(5, 4, 6), (19, 3, 5), (3, 1, 1)])
def test_copies(
    config: AcceleratorConfig, pads: tuple[int, int, int, int], shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Of what others than convolutions read, of numbers that differ, of an output, of parts of a concatenation."""
    b = Builder(rng, shape)
    inner = b.conv("x", 19, fmt=b.tensors["x"].fmt)
    differing = b.constant_pad(inner, pads)
    b.conv(differing, 3)
    again = b.constant_pad(b.constant_pad("x", pads), pads)
    b.pool(again, "max", Window((2, 2)))
    b.conv(b.concat(differing, b.constant_pad("x", pads)), 4)
    shown = b.constant_pad(inner, pads, uniform=True)
    b.conv(shown, 4)
    b.conv(b.constant_pad(inner, pads, uniform=True), shape[0], SAME)
    b.add(b.constant_pad("x", pads), b.conv(again, shape[0], Window((1 + pads[0] + pads[2], 1 + pads[1] + pads[3]))))
    check(b.network(shown), config, rng)


def test_the_output_as_well(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 4, 4))
    b.constant_pad("x", (1, 1, 1, 1))
    check(b.network(), preset("small"), rng)


def test_too_much() -> None:
    b = Builder(np.random.default_rng(1), (1, 1, 4))
    b.conv(b.constant_pad("x", (0, 3000, 0, 0)), 2, Window((1, 3)))
    assert refused(b.network()) == ("layer layer0: 3000 rows or columns around an input, at most 2048 can be: pad less")
    b = Builder(np.random.default_rng(1), (1, 1, 4))
    b.conv(b.constant_pad(b.conv("x", 3), (0, 3000, 0, 0), uniform=True), 2, Window((1, 3)))
    assert refused(b.network()).startswith("layer layer2: 3000 rows or columns of padding, at most 2047 fit")
