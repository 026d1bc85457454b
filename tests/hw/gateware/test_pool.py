"""The pool unit: results against quant.ir.fixedpoint, and each cycle against hw/contract/timing.py."""

import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware.pool import PoolUnit
from tests.hw.gateware.helpers.build import run

# Shallow buffers, so that addresses wrap often.
CONFIGS = [
    AcceleratorConfig("small_beat", 4, 4, 32, pool_depth=128, pooled_depth=64),
    AcceleratorConfig("two_words_a_beat", 8, 16, 128, pool_depth=64, pooled_depth=32),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_pool(config):
    run(PoolUnit(config), f"pool_{config.name}", "cocotb_pool", config=config, instructions=120)
