"""What engines take of a part, and their clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw.contract.config import PRESETS, preset
from hw.resources.linear import estimate
from hw.resources.model import clock_mhz, needs
from quant.base.errors import BadInput


def test_needs_are_estimates_and_counts() -> None:
    found = needs(preset("small"), "ecp5")
    assert (found.multipliers, found.block_rams) == (88, 115)
    assert (found.logic, found.flip_flops) == tuple(estimate(preset("small"), c) for c in ("logic", "flip-flops"))


def test_a_family_that_was_not_measured() -> None:
    with pytest.raises(BadInput, match=r"^what engines take of xc7 was not measured; of ecp5 it was$"):
        needs(preset("small"), "xc7")


def test_clocks_are_those_of_the_next_larger_preset() -> None:
    tiny = replace(preset("tiny"), skip_blocks=False, codebooks=False)
    wide = replace(tiny, oc_lanes=8)
    assert clock_mhz(tiny) == clock_mhz(replace(tiny, ic_lanes=2)) == tiny.clock_mhz
    assert clock_mhz(wide) == preset("small").clock_mhz and clock_mhz(preset("medium")) == preset("medium").clock_mhz
    with pytest.raises(BadInput, match=r"^an array of 1024 was not placed; the largest that was has 128$"):
        clock_mhz(PRESETS["large"])
