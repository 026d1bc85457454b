"""The burst splitter against the rule it implements, on random rows."""

import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware.burst import BurstSplitter
from tests.hw.gateware.helpers.build import run

CONFIGS = [
    AcceleratorConfig("odd_limit", 8, 8, 64, max_burst=7),
    AcceleratorConfig("single_beats", 8, 8, 64, max_burst=1),
    AcceleratorConfig("page_below_limit", 8, 8, 256, max_burst=256),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_rows(config):
    rows = 400 if config.max_burst > 1 else 100  # of single beats, each row has hundreds of bursts
    run(BurstSplitter(config, 12), f"burst_{config.name}", "cocotb_burst", config=config, rows=rows)


@pytest.mark.verify
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_many_rows(config):
    run(BurstSplitter(config, 12), f"burst_{config.name}", "cocotb_burst", config=config, rows=1000)
