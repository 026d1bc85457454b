"""Grouped convolutions: which run in lanes by group, that they are right, and what they save."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network, lower
from host.compiler.grouped import groups_in_lanes
from host.compiler.memory import lanes_of
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import ConvInstruction, Mode, SetupInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.compiling import ALL, check
from tests.host.networks import SAME, Builder


def grouped(rng: np.random.Generator, groups: int, inputs: int, outputs: int, window: Window = SAME) -> Network:
    """A convolution of groups of so many channels between two dense ones."""
    b = Builder(rng, (3, 11, 10))
    y = b.conv("x", groups * inputs, Window())
    b.conv(b.conv(y, groups * outputs, window, groups=groups), 5, Window())
    return b.network()


def mode(program: Program, layer: int) -> Mode:
    return Mode(next(i.mode for i in program.decode() if isinstance(i, SetupInstruction) and i.layer == layer))


@ALL
@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(32, 4, 4), (16, 2, 6), (40, 3, 1), (32, 1, 2)])
def test_they_are_right(
    config: AcceleratorConfig, groups: int, inputs: int, outputs: int, rng: np.random.Generator
) -> None:
    check(grouped(rng, groups, inputs, outputs), config, rng)


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
@pytest.mark.parametrize(
    "window",
    [SAME, Window((5, 3), (2, 1), (2, 1, 1, 0)), Window((3, 3), (1, 2), (1, 2, 1, 2), (1, 2))],
    ids=["3x3", "5x3 strided", "columns apart"],
)
def test_kernels_of_all_kinds(name: str, window: Window, rng: np.random.Generator) -> None:
    program = check(grouped(rng, 32, 2, 2, window), preset(name), rng)
    assert mode(program, 1) == Mode.DEPTHWISE


def test_a_pass_for_each_pair_of_channels_of_a_group(rng: np.random.Generator) -> None:
    """Dense, each of 9 taps of each word meets two output groups; by group, 4 x 4 passes make N x 4 outputs."""
    network, config = grouped(rng, 32, 4, 4), preset("medium")
    program = check(network, config, rng)
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction) and i.layer == 1]
    tiles = {(i.row_offset, i.column_offset) for i in convs}
    assert sum(i.input_groups for i in convs) == len(tiles) * 32 // config.ic_lanes * 4 * 4
    assert all(i.group_step == 0 for i in convs) and {i.first for i in convs} == {0, 1}


def test_it_saves_what_it_should(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder(rng, (16, 28, 28))
    b.conv(b.conv(b.conv("x", 128, Window()), 128, SAME, groups=32), 16, Window())
    network = b.network()
    fast = simulate(compile_network(network, preset("medium"))).layer_cycles[1]
    monkeypatch.setattr("host.compiler.groups_in_lanes", lambda *_: None)
    assert simulate(compile_network(network, preset("medium"))).layer_cycles[1] > 1.9 * fast


@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(2, 32, 32), (8, 16, 16), (4, 4, 4)])
def test_what_fills_the_array_or_would_waste_lanes_stays_as_it_is(
    groups: int, inputs: int, outputs: int, rng: np.random.Generator
) -> None:
    program = check(grouped(rng, groups, inputs, outputs), preset("medium"), rng)
    assert mode(program, 1) == Mode.DENSE


def test_channels_that_something_else_decides_stay_where_they_are(rng: np.random.Generator) -> None:
    """Of the network's input, and of parts of a concatenation, which begin where a word does."""
    b = Builder(rng, (64, 8, 8))
    b.conv("x", 64, SAME, groups=16)
    y = b.conv("x", 64, Window())
    joined = b.concat(y, b.conv("x", 9, fmt=b.tensors[y].fmt))
    b.conv(joined, 73 * 2, SAME, groups=73)
    program = check(b.network(), preset("medium"), rng)
    assert mode(program, 0) == Mode.DENSE


def test_sums_gates_and_poolings_lie_as_they_do(rng: np.random.Generator) -> None:
    """Residual, squeeze-and-excitation and a pooling behind, as in ResNeXt and RegNet."""
    b = Builder(rng, (16, 12, 12))
    y = b.conv("x", 64, Window())
    z = b.conv(y, 64, SAME, groups=16)
    z = b.gated(z)
    z = b.add(b.conv(z, 64, Window()), y)
    z = b.conv(b.conv(z, 64, Window()), 64, SAME, groups=16, residual=z)
    b.pool(b.conv(z, 64, SAME, groups=16), "max", Window((2, 2), (2, 2)))
    b.conv(b.pool(z, "average", Window((12, 12))), 10, Window())
    for name in ("tiny", "medium"):
        check(b.network(), preset(name), rng)


def test_layers_that_follow_each_other_agree(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 9, 9))
    y = b.conv("x", 64, Window())
    for _ in range(3):
        y = b.conv(y, 64, SAME, groups=16)
    b.conv(y, 8)
    config = preset("medium")
    lowered = lower(b.network(), config)
    groups_in_lanes(lowered, config, Memory())
    asked = {name: lanes for name, lanes in lanes_of(lowered, config.ic_lanes).items() if name in lowered.asked}
    assert len(asked) == 4 and len(set(asked.values())) == 1
    assert next(iter(asked.values()))[:5] == (0, 8, 16, 24, 1)
    check(b.network(), config, rng)
