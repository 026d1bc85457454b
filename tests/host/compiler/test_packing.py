"""Which layers' weights share multipliers, in which order their output groups run, and what that saves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, compile_network
from hw.contract.config import AcceleratorConfig, ConfigError, preset
from hw.contract.isa import ConvInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.cycles import simulate
from sim.stored import stored_weights
from tests.host.compiler.problems import problems
from tests.host.compiler.test_compiler import random_config
from tests.host.compiling import check
from tests.host.networks import SAME, Builder, narrowed, random_network
from tests.sim.blocked import blocked_network, in_blocks

PACKED = preset("packed")
MEDIUM = replace(PACKED, packed=False)
PAIRS = "pairs4"


def chain(*outputs: int, size: int = 12, window: Window = SAME, inputs: int = 32) -> Network:
    """Convolutions one behind the other, with weights of 4 bits."""
    b = Builder(np.random.default_rng(7), (inputs, size, size))
    made = "x"
    for count in outputs:
        made = b.conv(made, count, window)
    return narrowed(b.network())


def formats(network: Network, config: AcceleratorConfig) -> list[str]:
    return [one.layer.weights.name for one in problems(network, config)[0]]


def convs(program: Program) -> list[ConvInstruction]:
    return [i for i in program.decode() if isinstance(i, ConvInstruction)]


def cycles(network: Network, config: AcceleratorConfig) -> int:
    return simulate(compile_network(network, config)).cycles


def test_layers_of_several_output_groups_pack() -> None:
    assert formats(chain(64, 16, 32), PACKED) == [PAIRS, "indices4", PAIRS]
    assert PAIRS not in formats(chain(64, 32), MEDIUM)


def test_a_weight_of_more_bits_keeps_a_layer_apart() -> None:
    network = chain(64)
    (layer,) = network.layers
    assert isinstance(layer, Conv)
    for value in (-9, 8):
        layer.weight[3, 4, 1, 1] = value
        assert formats(network, PACKED) == ["int8"]
        layer.weight[3, 4, 1, 1] = -8
    assert formats(network, PACKED) == [PAIRS]


def test_what_reads_a_pixel_gains_nothing() -> None:
    """A block of a pair takes as long into the array as two of indices."""
    assert formats(chain(64, size=1, window=Window(), inputs=64), PACKED) == ["indices4"]


@pytest.mark.parametrize(
    ("kernel", "stride", "packs"), [((2, 2), (2, 2), True), ((3, 3), (2, 2), False), ((12, 12), (12, 12), True)]
)
def test_rows_that_wait_for_a_pooling(kernel: tuple[int, int], stride: tuple[int, int], packs: bool) -> None:
    b = Builder(np.random.default_rng(7), (32, 12, 12))
    b.pool(b.conv("x", 64, SAME), "max", Window(kernel, stride))
    network = narrowed(b.network())
    assert (formats(network, PACKED)[0] == PAIRS) is packs
    check(network, PACKED, np.random.default_rng(1))


def test_a_second_output_group_is_behind_the_first() -> None:
    program = check(chain(72), PACKED, np.random.default_rng(1))
    found = convs(program)  # of three tiles and five output groups, the last of which is alone
    assert [i.second for i in found] == 6 * [False, True] + 3 * [False]
    for before, i in pairwise(found):
        if i.second:
            assert i.first and i.last and i.input_groups == 0
            assert (before.partial_base, before.out_rows) == (i.partial_base, i.out_rows)
    (stored,) = stored_weights(program).values()
    assert (stored.format, stored.passes) == (PAIRS, 3 * 3 * 4 * 9)


@pytest.mark.parametrize("number", [0, 2])
def test_blocks_of_output_groups(number: int) -> None:
    """Of several pairs under way at once each keeps its own sums; their second groups come with the last chunk."""
    config, rng = replace(preset("tiny"), packed=True), np.random.default_rng(number)
    program = check(narrowed(blocked_network(number, rng)), config, rng, Memory(64, 16))
    assert in_blocks(program)
    assert len({i.partial_base for i in convs(program) if i.second}) > 1


def test_half_the_cycles() -> None:
    network = chain(128, 128, size=16, inputs=128)
    apart, packed = cycles(network, MEDIUM), cycles(network, PACKED)
    assert packed < apart / 1.9


def test_zero_blocks_of_both_are_left_out() -> None:
    network = chain(64)
    (layer,) = network.layers
    assert isinstance(layer, Conv)
    layer.weight[:32, :16] = 0  # two input groups of both output groups
    layer.weight[32:48, :16] = 0  # and of one of two
    program = check(network, PACKED, np.random.default_rng(1))
    assert {i.blocks for i in convs(program) if not i.second} == {2 * 9, 4 * 9}
    assert {i.blocks for i in convs(program) if i.second} == {0}


def test_engines_of_16_bits_cannot() -> None:
    with pytest.raises(ConfigError, match="^packed must be false where data have 16 bits$"):
        _ = replace(preset("small16"), packed=True).derived


@settings(max_examples=30)
@given(st.integers(0, 1 << 32))
def test_random_networks(number: int) -> None:
    rng = np.random.default_rng(number)
    config = PACKED if number % 2 else random_config(rng)
    assume(config is not None)
    assert config is not None
    try:
        check(narrowed(random_network(rng)), replace(config, packed=True), rng)
    except CannotCompile as error:
        assert "its smallest tile needs" in str(error)
