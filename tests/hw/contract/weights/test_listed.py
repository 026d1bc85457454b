"""Listed weight blocks: their bytes, their beats, and tags that are none."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.weights import gateware_format
from hw.contract.weights.listed import beat_tags, decode_listed, encode_listed, stream_beats

ALL = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
KERNEL = (3, 5)


def some(config: AcceleratorConfig, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    blocks = rng.integers(-128, 128, (count, config.oc_lanes, config.ic_lanes)).astype(np.int8)
    return blocks, np.sort(rng.choice(64 * 15, count, replace=False))


@ALL
@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17])
def test_there_and_back(config: AcceleratorConfig, count: int, rng: np.random.Generator) -> None:
    weights, (blocks, taps) = gateware_format(config), some(config, count, rng)
    data = encode_listed(weights, blocks, taps, KERNEL, config)
    assert len(data) == stream_beats(config, weights, count, True) * config.derived.beat_bytes
    found = decode_listed(weights, np.frombuffer(data, np.uint8), count, KERNEL, config)
    np.testing.assert_array_equal(found[0], blocks)
    np.testing.assert_array_equal(found[1], taps)


def test_the_bytes(rng: np.random.Generator) -> None:
    """By the text: a beat of tags, its blocks, the next beat of tags; column, row, group from the lowest bit on."""
    config = preset("tiny")  # two tags a beat, four beats a block
    blocks, taps = some(config, 3, rng)[0], np.array([0, 15 + 7, 63 * 15 + 14])
    weights = gateware_format(config)
    beats = np.frombuffer(encode_listed(weights, blocks, taps, KERNEL, config), np.uint8).reshape(-1, 4)
    assert beat_tags(config) == 2 and len(beats) == 3 * 4 + 2
    tags = beats[[0, 9]].reshape(-1).view("<u2")
    assert list(tags) == [0, 1 << 10 | 1 << 5 | 2, 63 << 10 | 2 << 5 | 4, 0]
    assert np.delete(beats, [0, 9], axis=0).tobytes() == weights.encode(blocks, config)


@ALL
def test_a_block_takes_a_beat_more_at_most(config: AcceleratorConfig) -> None:
    weights, each = gateware_format(config), gateware_format(config).block_beats(config)
    assert stream_beats(config, weights, 1, False) == each
    assert stream_beats(config, weights, 1, True) == each + 1
    assert stream_beats(config, weights, 1000, True) == 1000 * each + -(-1000 * 16 // config.axi_bits)


@pytest.mark.parametrize(
    ("taps", "message"), [([4, 4], "out of order"), ([5, 4], "out of order"), ([1, 14], "row 2, column 4 of a kernel")]
)
def test_tags_that_are_none(taps: list[int], message: str, rng: np.random.Generator) -> None:
    config = preset("small")
    weights, (blocks, _) = gateware_format(config), some(config, 2, rng)
    data = np.frombuffer(encode_listed(weights, blocks, np.array(taps), KERNEL, config), np.uint8)
    with pytest.raises(ValueError, match=message):
        decode_listed(weights, data, 2, (3, 4) if taps[1] == 14 else KERNEL, config)
