"""Which layers leave weight blocks out that are zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import ConvInstruction, Mode
from quant.compress.blocks import Block
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.cycles import simulate
from tests.host.compiler.problems import problems
from tests.host.compiling import check
from tests.host.networks import SAME, Builder

SMALL = preset("small")


def network(kept: np.ndarray, window: Window, size: tuple[int, int], seed: int = 1) -> Network:
    """A convolution of which so many blocks of `small` stay: bool (output groups, input groups, rows, columns)."""
    b = Builder(np.random.default_rng(seed), (8 * kept.shape[1], *size))
    b.conv("x", 8 * kept.shape[0], window)
    (layer,) = b.layers
    assert isinstance(layer, Conv)
    weight = layer.weight * Block(8, 8).spread(kept, layer.weight.shape)
    return replace(b.network(), layers=(replace(layer, weight=weight),))


def leaves_out(kept: np.ndarray, window: Window, size: tuple[int, int] = (12, 12)) -> bool:
    """Whether a layer does that is not the first: that may be folded."""
    b = Builder(np.random.default_rng(1), (4, *size))
    b.conv(b.conv("x", 8 * kept.shape[1], Window()), 8 * kept.shape[0], window)
    first, layer = b.layers
    assert isinstance(layer, Conv)
    weight = layer.weight * Block(8, 8).spread(kept, layer.weight.shape)
    return problems(replace(b.network(), layers=(first, replace(layer, weight=weight))), SMALL)[0][1].outputs.listed


@pytest.mark.parametrize(
    ("window", "size", "gone", "out"),
    [
        (SAME, (12, 12), 0, False),
        (SAME, (12, 12), 1, False),  # the tags of the others are more bytes than it
        (SAME, (12, 12), 8, True),
        (Window((3, 3)), (3, 3), 8, False),  # a pixel: nine beats a block are no less than eight of all
        (Window((3, 3)), (3, 3), 24, True),
        (Window((3, 3), dilation=(1, 2)), (12, 12), 60, False),
        (Window((2, 3), dilation=(2, 1)), (12, 12), 40, False),
        (Window((3, 1), dilation=(1, 2)), (12, 12), 20, True),
        (Window((32, 1)), (40, 2), 200, True),
        (Window((33, 1)), (40, 2), 200, False),
    ],
)
def test_where_it_pays(window: Window, size: tuple[int, int], gone: int, out: bool) -> None:
    kept = np.ones((4, 4, *window.kernel), bool)
    kept.reshape(-1)[:gone] = False
    assert leaves_out(kept, window, size) == out


@pytest.mark.parametrize("share", [0.75, 0.5, 0.25])
def test_cycles_are_those_of_the_blocks_that_stay(share: float) -> None:
    """Bound by computing, at least 0.95 of what would be ideal."""
    kept = np.random.default_rng(3).random((8, 8, 3, 3)) < share
    made = network(kept, SAME, (28, 28))
    fewer, all_ = (
        check(made, config, np.random.default_rng(5)) for config in (SMALL, replace(SMALL, skip_blocks=False))
    )
    gain = simulate(all_).cycles / simulate(fewer).cycles
    assert 0.95 / kept.mean() <= gain <= 1 / kept.mean()


@pytest.mark.parametrize(("share", "mode"), [(0.75, Mode.PAIRED), (0.25, Mode.DENSE)])
def test_two_taps_at_once_or_few_alone(share: float, mode: Mode) -> None:
    """Of a thin input, whichever takes fewer passes: six of pairs in a 3 x 3 kernel, or those of the taps that stay."""
    b = Builder(np.random.default_rng(1), (4, 12, 12))
    b.conv(b.conv("x", 4, Window()), 64, SAME)
    first, layer = b.layers
    assert isinstance(layer, Conv)
    kept = np.random.default_rng(3).random((8, 1, 3, 3)) < share
    thin = replace(layer, weight=layer.weight * Block(8, 8).spread(kept, layer.weight.shape))
    made = replace(b.network(), layers=(first, thin))
    outputs = problems(made, SMALL)[0][1].outputs
    assert (outputs.mode, outputs.listed) == (mode, mode == Mode.DENSE)
    program = check(made, SMALL, np.random.default_rng(5))
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction) and i.layer == 1]
    tiles = len(convs) // 8
    assert sum(i.blocks or 6 for i in convs) == tiles * (48 if mode == Mode.PAIRED else kept.sum())


def test_more_input_groups_than_tags_tell_apart() -> None:
    kept = np.random.default_rng(3).random((2, 80, 1, 1)) < 0.3
    program = check(network(kept, Window(), (5, 5)), SMALL, np.random.default_rng(5))
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    tiles = sum(i.first for i in convs) // 2
    assert all(i.blocks > 0 and i.input_groups <= 64 for i in convs)
    assert sum(i.blocks for i in convs) == tiles * kept.sum()


def test_a_block_that_fits_only_without_a_tag() -> None:
    """Parameters and a block of 8 x 32 weights are all that a weight buffer of 128 beats holds."""
    config = AcceleratorConfig("exact", 8, 32, 32, weight_depth=128, skip_blocks=True, codebooks=False)
    assert 2 * config.derived.parameter_beats == config.weight_depth
    b = Builder(np.random.default_rng(1), (16, 12, 12))
    b.conv("x", 32, Window())
    (layer,) = b.layers
    assert isinstance(layer, Conv)
    weight = layer.weight * (np.arange(16) >= 8)[:, None, None]
    made = replace(b.network(), layers=(replace(layer, weight=weight),))
    for depth, listed in ((128, False), (256, True)):
        larger = replace(config, weight_depth=depth)
        program = check(made, larger, np.random.default_rng(5))
        assert all((i.blocks > 0) == listed for i in program.decode() if isinstance(i, ConvInstruction))


def test_what_has_no_block_has_no_conv() -> None:
    """But where sums begin, and where results come out."""
    kept = np.random.default_rng(3).random((3, 160, 1, 1)) < 0.3
    kept[0, 8:] = kept[1, :152] = False
    program = check(network(kept, Window(), (5, 5)), SMALL, np.random.default_rng(5))
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    tiles, whole = sum(i.first for i in convs) // 3, max(i.input_groups for i in convs)
    chunks = -(-160 // whole)
    assert chunks >= 3 and len(convs) == tiles * (2 + 2 + chunks)
    assert sum(i.blocks for i in convs) == tiles * (kept.sum() + 2)


def test_the_same_program_where_all_blocks_stay() -> None:
    made = network(np.ones((2, 2, 3, 3), bool), SAME, (8, 8))
    one, other = (compile_network(made, config) for config in (SMALL, replace(SMALL, skip_blocks=False)))
    assert one.image == other.image
