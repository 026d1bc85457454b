"""Parameters and partial sums against Python's integers."""

from hw.contract.config import AcceleratorConfig
from hw.gateware.accumulator import Accumulator, Parameters
from tests.hw.gateware.helpers.build import Bundle, run

CONFIGS = {
    "narrow": AcceleratorConfig("narrow", 4, 4, 32, partial_sum_depth=16),
    "packed": AcceleratorConfig("packed", 4, 4, 32, partial_sum_depth=16, packed=True),
    "long": AcceleratorConfig("long", 2, 8, 128, acc_bits=48, partial_sum_depth=8),
}


def test_parameters_and_sums():
    parts = {f"{name}_parameters": Parameters(config) for name, config in CONFIGS.items()}
    sums = {f"{name}_sums": Accumulator(config) for name, config in CONFIGS.items()}
    names = {name: config.to_json() for name, config in CONFIGS.items()}
    run(Bundle(**parts, **sums), "accumulator", "cocotb_accumulator", configs=names)
