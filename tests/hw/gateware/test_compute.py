"""The compute unit: results against NumPy, and each cycle against hw/contract/timing.py."""

import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware.compute import ComputeUnit
from tests.hw.gateware.helpers.build import run

# Shallow buffers, so that addresses wrap often; but room for weights, most of which the zeros that depthwise blocks ask
# for would else overwrite.
SHALLOW = {
    "partial_sum_depth": 64,
    "activation_depth": 256,
    "weight_depth": 4096,
    "residual_depth": 128,
    "output_depth": 128,
    "pool_depth": 64,
}
CONFIGS = [
    AcceleratorConfig("word_is_beat", 4, 4, 32, skip_blocks=True, codebooks=True, **SHALLOW),
    AcceleratorConfig("two_words_a_beat", 8, 16, 128, acc_bits=48, skip_blocks=True, codebooks=True, **SHALLOW),
    AcceleratorConfig("two_beats_a_word", 8, 8, 32, tables=False, codebooks=True, **SHALLOW),
    AcceleratorConfig("block_is_beat", 4, 4, 128, **SHALLOW),
    AcceleratorConfig("packed", 4, 8, 64, skip_blocks=True, codebooks=True, packed=True, **SHALLOW),
    AcceleratorConfig("packed_alone", 4, 4, 64, packed=True, tables=False, **SHALLOW),
    AcceleratorConfig("sixteen_bits", 4, 8, 64, 16, 16, 48, tables=False, skip_blocks=True, **SHALLOW),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_compute(config):
    run(ComputeUnit(config), f"compute_{config.name}", "cocotb_compute", config=config, tiles=25)
