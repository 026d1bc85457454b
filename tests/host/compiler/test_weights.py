"""Weights and parameters as the bytes that the array takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.weights import gateware_format
from hw.contract.weights.listed import decode_listed
from quant.compress.blocks import Block
from quant.ir.window import Window
from quant.kinds.conv import Conv, convolution
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder

CONFIGS = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


@CONFIGS
def test_blocks_hold_every_weight_at_its_lane(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (40, 5, 5))
    b.conv(b.conv("x", 40, Window()), 37, Window((2, 3)))
    weight = convolution(b.layers[1]).weight  # type: ignore[union-attr]
    groups = problems(b.network(), config)[0][1].outputs
    n, m = config.ic_lanes, config.oc_lanes
    assert groups.count == -(-37 // m) and groups.taps == 6
    for group in range(groups.count):
        first, last = groups.ranges[group]
        assert (first, last) == (0, -(-40 // n))
        data = np.frombuffer(groups.blocks(group, (first, last)), np.uint8)
        blocks = gateware_format(config).decode(data, config).reshape(last - first, 6, m, n)
        for channel in range(group * m, min((group + 1) * m, 37)):
            lanes = blocks[:, :, channel % m].transpose(0, 2, 1).reshape(-1, 2, 3)
            np.testing.assert_array_equal(lanes[:40], weight[channel])
            assert not lanes[40:].any()


@CONFIGS
def test_a_range_of_groups_is_a_part_of_the_blocks(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (4 * config.ic_lanes, 4, 4))
    b.conv(b.conv("x", 4 * config.ic_lanes, Window()), 8)
    groups = problems(b.network(), config)[0][1].outputs
    assert groups.blocks(0, (0, 1)) + groups.blocks(0, (1, 4)) == groups.blocks(0, (0, 4))


@CONFIGS
def test_blocks_of_zeros_are_left_out(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """What a CONV lists is what the others have.  Where nothing stays it is one block, in the midst none."""
    n, m = config.ic_lanes, config.oc_lanes
    b = Builder(rng, (4 * n, 5, 5))
    b.conv("x", 3 * m, Window((2, 3)))
    (layer,) = b.layers
    assert isinstance(layer, Conv)
    kept = rng.random((3, 4, 2, 3)) < 0.4
    kept[1, 2] = False
    kept[2] = False
    weight = layer.weight * Block(n, m).spread(kept, layer.weight.shape)
    network = replace(b.network(), layers=(replace(layer, weight=weight),))
    listed = problems(network, replace(config, skip_blocks=True))[0][0].outputs
    every = problems(network, replace(config, skip_blocks=False))[0][0].outputs
    assert listed.listed and not every.listed
    for group, span in product(range(3), [(0, 4), (0, 1), (1, 4), (2, 3)]):
        whole = np.frombuffer(every.blocks(group, span), np.uint8)
        blocks = gateware_format(config).decode(whole, config)
        passes = listed.passes_of(group, span)
        assert passes == max(int(span != (2, 3)), int(kept[group, span[0] : span[1]].sum()))
        if not passes:
            continue
        data = np.frombuffer(listed.blocks(group, span), np.uint8)
        assert len(data) == listed.beats(group, span) * config.derived.beat_bytes
        found, taps = decode_listed(gateware_format(config), data, passes, (2, 3), config)
        np.testing.assert_array_equal(found, blocks[taps])
        assert not np.delete(blocks, taps, axis=0).any()


def test_a_group_reads_only_the_inputs_that_it_depends_on(rng: np.random.Generator) -> None:
    b = Builder(rng, (64, 4, 4))
    b.conv(b.conv("x", 64, Window()), 64, SAME, groups=64)
    groups = problems(b.network(), preset("medium"))[0][1].outputs
    assert groups.ranges == ((0, 2), (2, 4), (4, 6), (6, 8))
    assert groups.blocks(1, (2, 3)) + groups.blocks(1, (3, 4)) == groups.blocks(1, (2, 4))


def test_lanes_without_a_channel_have_no_parameters(rng: np.random.Generator) -> None:
    b = Builder(rng, (4, 4, 4))
    b.conv("x", 3)
    config = preset("small")
    data = problems(b.network(), config)[0][0].outputs.parameters(0)
    assert len(data) == config.derived.parameter_beats * config.derived.beat_bytes
    lanes = np.frombuffer(data, np.uint8).reshape(config.oc_lanes, -1)
    assert lanes[:3].any(axis=1).all() and not lanes[3:].any()


def test_planes_of_the_last_group(rng: np.random.Generator) -> None:
    b = Builder(rng, (4, 4, 4))
    b.conv("x", 20)
    groups = problems(b.network(), preset("medium"))[0][0].outputs
    assert [groups.planes(group) for group in range(groups.count)] == [2, 1]
