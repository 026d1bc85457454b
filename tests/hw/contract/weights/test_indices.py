"""Where every index is in a block, and how long one takes into the array."""

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.weights.indices import Indices2, Indices4

CONFIG = AcceleratorConfig("indices", 2, 4, 32)
BLOCK = np.array([[1, 15], [8, 7], [0, 2], [3, 12]])


def test_two_in_a_byte_the_first_in_its_low_half() -> None:
    assert Indices4().encode(BLOCK, CONFIG) == bytes([0x81, 0x30, 0x7F, 0xC2])


def test_four_in_a_byte_the_first_in_its_lowest_bits() -> None:
    assert Indices2().encode(BLOCK % 4, CONFIG) == bytes([0b11_00_00_01, 0b00_10_11_11, 0, 0])


@pytest.mark.parametrize("config", [c for c in PRESETS.values() if c.codebooks], ids=lambda c: c.name)
def test_both_take_half_the_cycles_of_weights(config: AcceleratorConfig) -> None:
    whole = config.ic_lanes * config.oc_lanes * 8 // config.axi_bits
    for weights, beats in ((Indices4(), whole // 2), (Indices2(), whole // 4)):
        for mode in (Mode.DENSE, Mode.PAIRED):
            assert (weights.block_beats(config, mode), weights.block_cycles(config, mode)) == (beats, whole // 2)
