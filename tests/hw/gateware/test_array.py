"""The multiplier array against a matrix product."""

import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware.array import Array
from tests.hw.gateware.helpers.build import run

CONFIGS = [
    AcceleratorConfig("word_is_beat", 4, 4, 32),
    AcceleratorConfig("two_words_a_beat", 4, 8, 64),
    AcceleratorConfig("two_beats_a_word", 8, 8, 32),
    AcceleratorConfig("more_lanes_than_taps", 16, 16, 64),
    AcceleratorConfig("four_planes", 2, 8, 128),
    AcceleratorConfig("sixteen_bits", 4, 8, 64, 16, 16, 48, tables=False),
    AcceleratorConfig("pairs_of_beats", 4, 4, 32, codebooks=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_products(config):
    run(Array(config), f"array_{config.name}", "cocotb_array", config=config)
