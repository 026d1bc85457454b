"""What an engine takes of a part, and at which clock it runs there, as far as that was measured."""

from __future__ import annotations

from hw.board.catalogue import Needs
from hw.contract.config import PLACED, PRESETS, AcceleratorConfig
from hw.resources.blocks import block_rams, multipliers
from hw.resources.linear import estimate
from quant.base.errors import BadInput

FAMILIES = ("ecp5",)
"""Of FPGAs on which engines were placed."""


def needs(config: AcceleratorConfig, family: str) -> Needs:
    """What an engine takes of a part of a family.  Raises BadInput for a family on which none was placed."""
    if family not in FAMILIES:
        raise BadInput(f"what engines take of {family} was not measured; of {', '.join(FAMILIES)} it was")
    return Needs(
        logic=estimate(config, "logic"),
        flip_flops=estimate(config, "flip-flops"),
        multipliers=sum(multipliers(config).values()),
        block_rams=sum(block_rams(config).values()),
    )


def clock_mhz(config: AcceleratorConfig) -> float:
    """The clock of the smallest preset that was placed and has as large an array: no engine between two presets is
    taken to be faster than the slower one.  Raises BadInput for an array larger than all of them.
    """
    placed = sorted((PRESETS[name] for name in PLACED), key=lambda one: one.derived.multipliers)
    found = next((one for one in placed if one.derived.multipliers >= config.derived.multipliers), None)
    if found is None:
        most = placed[-1].derived.multipliers
        raise BadInput(f"an array of {config.derived.multipliers} was not placed; the largest that was has {most}")
    return found.clock_mhz
