"""Which layers run depthwise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import compile_network
from host.compiler.problem import Problem
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import ConvInstruction, Mode, SetupInstruction
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


def posed(config: AcceleratorConfig, window: Window, channels: int = 24, outputs: int = 0, size: int = 28) -> Problem:
    b = Builder(np.random.default_rng(1), (channels, size, size))
    b.conv("x", outputs or channels, window, groups=channels)
    (found,), _ = problems(b.network(), config)
    return found


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 9), (9, 1)])
def test_a_weight_for_each_tap_and_lane(config: AcceleratorConfig, kernel: tuple[int, int]) -> None:
    found = posed(config, Window(kernel, (1, 1), (4, 4, 4, 4)))
    blocks = -(-kernel[0] // 3) * -(-kernel[1] // 3)
    assert found.outputs.mode == Mode.DEPTHWISE and found.outputs.taps == blocks
    beats = -(-9 * config.ic_lanes * config.weight_bits // config.axi_bits)
    assert found.block_beats == blocks * beats


@pytest.mark.parametrize(
    ("window", "outputs"),
    [
        (Window(), 24),  # nothing is gained
        (SAME, 48),  # two outputs of a channel
    ],
)
def test_what_stays_dense(window: Window, outputs: int) -> None:
    found = posed(preset("small"), window, outputs=outputs)
    assert found.outputs.mode == Mode.DENSE


@pytest.mark.parametrize(("dilation", "blocks"), [((1, 2), 3), ((8, 1), 3), ((3, 4), 9)])
def test_taps_that_lie_apart_take_more_passes(dilation: tuple[int, int], blocks: int) -> None:
    found = posed(preset("small"), Window((3, 3), (1, 1), (8, 8, 8, 8), dilation))
    assert found.outputs.mode == Mode.DEPTHWISE and found.outputs.taps == blocks


def test_weights_too_many_for_the_buffer_stay_dense() -> None:
    config = dataclasses.replace(preset("small"), name="shallow", weight_depth=32)
    large = Window((7, 7), (1, 1), (3, 3, 3, 3))
    assert posed(config, large).outputs.mode == Mode.DENSE
    assert posed(preset("small"), large).outputs.mode == Mode.DEPTHWISE


def test_positions_of_a_pass() -> None:
    """Two rows more than the pixels of a column; one, where both its ends are padding."""
    same, strided = Window((3, 3), (1, 1), (1, 1, 1, 1)), Window((3, 3), (2, 2), (1, 1, 1, 1))
    assert posed(preset("small"), same).positions((0, 28), 28) == 28 * 29 + 1
    assert posed(preset("small"), same).positions((0, 10), 28) == 28 * 12
    assert posed(preset("small"), same).positions((10, 20), 28) == 28 * 12
    assert posed(preset("small"), strided).positions((0, 14), 14) == 14 * 29
    assert posed(preset("small"), Window((1, 3), (1, 1), (0, 1, 0, 1))).positions((0, 5), 28) == 140
    assert posed(preset("small"), Window()).positions((0, 5), 28) == 140


def test_parts_of_a_join_keep_their_lanes() -> None:
    """A channel of the join is in another lane than its result: the second part begins at a multiple of N."""
    b = Builder(np.random.default_rng(1), (5, 8, 8))
    joined = b.concat(b.conv("x", 5), b.conv("x", 5))
    b.conv(joined, 10, SAME, groups=10)
    found, _ = problems(b.network(), preset("small"))
    assert found[-1].outputs.mode == Mode.DENSE


def test_instructions() -> None:
    b = Builder(np.random.default_rng(1), (40, 14, 14))
    b.conv("x", 40, Window((3, 3), (2, 2), (1, 1, 1, 1)), groups=40)
    program = compile_network(b.network(), preset("medium"))
    (setup,) = (i for i in program.decode() if isinstance(i, SetupInstruction))
    assert setup.mode == Mode.DEPTHWISE and setup.row_step == 2 * setup.tap_row_step
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    assert {i.input_groups for i in convs} == {2, 1} and all(i.first and i.last and not i.meet for i in convs)


@pytest.mark.parametrize(
    ("size", "rows", "pads", "meet"),
    [(1, 3, (1, 1), 1), (5, 3, (0, 1), 0), (5, 3, (1, 0), 0), (5, 5, (2, 2), 0), (5, 1, (0, 0), 0)],
)
def test_columns_meet_in_padding(size: int, rows: int, pads: tuple[int, int], meet: int) -> None:
    b = Builder(np.random.default_rng(1), (8, size, 4))
    b.conv("x", 8, Window((rows, 3), (1, 1), (pads[0], 1, pads[1], 1)), groups=8)
    program = compile_network(b.network(), preset("small"))
    assert {i.meet for i in program.decode() if isinstance(i, ConvInstruction)} == {meet}
