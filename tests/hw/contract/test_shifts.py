"""The ranges of shifts: what the gateware's parts hold, and what the ends of a range mean.

That every shift of the range is computed rightly: tests/hw/gateware/test_requantize.py.
"""

from __future__ import annotations

import pytest
from amaranth import Shape

from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.shifts import SHIFTS, residual_shifts
from hw.gateware.accumulator import lane_parameters
from hw.gateware.requantize import Requantize
from quant.ir.fixedpoint import shift_round


def bounds(shape: Shape) -> tuple[int, int]:
    low = -(1 << shape.width - 1) if shape.signed else 0
    return low, low + (1 << shape.width) - 1


def test_the_output_stage_holds_every_shift() -> None:
    block = Requantize(32)
    low, high = bounds(block.amount.shape())
    assert low <= SHIFTS[0] + block.left and SHIFTS[-1] + block.left <= high
    assert len(SHIFTS) == 64, "six bits of shifter: as many shifts as they give"


def test_the_largest_shift_leaves_nothing() -> None:
    for value in (-(1 << 47), (1 << 47) - 1):
        assert shift_round(value, SHIFTS[-1]) == 0


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_the_accumulator_holds_every_residual_shift(config: AcceleratorConfig) -> None:
    found = residual_shifts(config.acc_bits)
    assert found[0] == 0 and found[-1] == config.acc_bits - 1
    _, high = bounds(Shape.cast(lane_parameters(config)["residual_shift"].shape))
    assert found[-1] <= high
