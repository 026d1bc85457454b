"""What holds for every weight format."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import Mode
from hw.contract.weights import FORMATS, WeightFormat

ALL = pytest.mark.parametrize("weights", FORMATS, ids=lambda weights: weights.name)


WIDE_BUS = AcceleratorConfig("wide_bus", 4, 4, 128)
"""A block of 4-bit weights is half a beat."""


@pytest.mark.parametrize(
    ("weights", "mode"),
    [(weights, mode) for weights in FORMATS for mode in Mode if mode in weights.modes],
    ids=lambda value: value.name,
)
@pytest.mark.parametrize("config", [*PRESETS.values(), WIDE_BUS], ids=lambda config: config.name)
def test_round_trip(config: AcceleratorConfig, weights: WeightFormat, mode: Mode, rng: np.random.Generator) -> None:
    (m, n), integers = weights.block_shape(config, mode), weights.integers
    groups = 2 if weights.name == "pairs4" else 1
    assert (m, n) == (9 if mode == Mode.DEPTHWISE else groups * config.oc_lanes, config.ic_lanes)
    blocks = rng.integers(integers.low, integers.high + 1, (3, 2, m, n))
    blocks[0] = integers.low
    data = weights.encode(blocks, config, mode)
    assert len(data) == 6 * weights.block_beats(config, mode) * config.derived.beat_bytes
    back = weights.decode(np.frombuffer(data, np.uint8), config, mode)
    assert back.dtype == integers.dtype
    np.testing.assert_array_equal(back, blocks.reshape(6, m, n))


@ALL
def test_beats_hold_the_bits(weights: WeightFormat) -> None:
    for config in PRESETS.values():
        bits = config.ic_lanes * config.oc_lanes * weights.bits * weights.groups
        assert 0 <= weights.block_beats(config) * config.axi_bits - bits < config.axi_bits


@ALL
def test_what_does_not_fit(weights: WeightFormat) -> None:
    config = preset("tiny")
    too_large = np.full((1, *weights.block_shape(config)), weights.integers.high + 1)
    with pytest.raises(ValueError, match=rf"^weights from 0 to {too_large.max()} do not fit {weights.name}$"):
        weights.encode(too_large, config)
