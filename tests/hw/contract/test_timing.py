"""Durations, by the text of docs/architecture.md; the benches hold the gateware to them."""

from __future__ import annotations

import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import Mode
from hw.contract.timing import (
    ACCUMULATE_LATENCY,
    compute_passes,
    compute_prepare,
    pass_cycles,
    pool_pixel_cycles,
)
from hw.contract.weights import FORMATS, WeightFormat, gateware_format
from hw.contract.weights.indices import Indices2, Indices4

ALL = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


@ALL
@pytest.mark.parametrize("weights", FORMATS, ids=lambda weights: weights.name)
def test_a_pass(config: AcceleratorConfig, weights: WeightFormat) -> None:
    """A pixel a cycle, two with wide results; never less than weights take to load or a sum to come round."""
    least = max(weights.block_cycles(config), ACCUMULATE_LATENCY)
    assert pass_cycles(config, weights, 1) == least
    assert pass_cycles(config, weights, least + 5) == least + 5
    assert pass_cycles(config, weights, least + 5, wide=True) == 2 * least + 10


@ALL
def test_a_depthwise_pass(config: AcceleratorConfig) -> None:
    """Its block has nine weights a lane."""
    weights = gateware_format(config)
    beats = -(-9 * config.ic_lanes * weights.bits // config.axi_bits)
    assert weights.block_beats(config, Mode.DEPTHWISE) == beats
    assert pass_cycles(config, weights, 1, mode=Mode.DEPTHWISE) == max(beats, ACCUMULATE_LATENCY)
    assert compute_prepare(config, weights, False, Mode.DEPTHWISE) == beats + 2
    assert compute_passes(config, weights, 2, 100, True, True, Mode.DEPTHWISE) == (100, 200)


@ALL
def test_only_the_last_pass_is_wide(config: AcceleratorConfig) -> None:
    weights = gateware_format(config)
    assert compute_passes(config, weights, 4, 100, last=True, wide=True) == (300, 200)
    assert compute_passes(config, weights, 4, 100, last=False, wide=True) == (300, 100)


@ALL
@pytest.mark.parametrize("weights", FORMATS, ids=lambda weights: weights.name)
def test_listed_blocks_take_a_beat_more(config: AcceleratorConfig, weights: WeightFormat) -> None:
    """For tags; whether there are new ones or not.  And four at least, in which the next one's place is found."""
    beats = weights.block_cycles(config) + 1
    assert compute_prepare(config, weights, False, listed=True) == beats + 2
    beats = max(beats, 5)
    assert pass_cycles(config, weights, 1, listed=True) == beats
    assert pass_cycles(config, weights, beats + 5, listed=True) == beats + 5
    assert compute_passes(config, weights, 4, 3, False, False, listed=True) == (3 * beats, beats)


def test_preparing() -> None:
    config = preset("tiny")  # a block of 4 beats, parameters of 8
    assert compute_prepare(config, gateware_format(config), first=False) == 6
    assert compute_prepare(config, gateware_format(config), first=True) == 14
    # A codebook has 16 entries, one a cycle, and the last one is there a cycle later.
    assert compute_prepare(config, Indices4(), first=True, codebook=True) == 29  # a block of 2 beats
    assert compute_prepare(config, Indices2(), first=False, codebook=True) == 21  # of one beat, of which each half


def test_pooled_pixels() -> None:
    config = preset("small")
    assert pool_pixel_cycles(config, taps=9, average=False, wide=False) == 9
    assert pool_pixel_cycles(config, taps=1, average=False, wide=True) == 2
    assert pool_pixel_cycles(config, taps=4, average=True, wide=False) == config.oc_lanes
