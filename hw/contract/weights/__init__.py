"""The formats in which weights lie in memory, a file each.

Whoever must know what a weight is made of asks its format: the compiler encodes, the executor decodes, the cycle
model and the hazards ask for a block's beats.  A new format is a file here and a line in FORMATS.
"""

from __future__ import annotations

from hw.contract.config import AcceleratorConfig
from hw.contract.weights.format import WeightFormat, block_shape
from hw.contract.weights.indices import Indices2, Indices4
from hw.contract.weights.integers import Int8, Int16
from quant.base.errors import BadInput

__all__ = ["FORMATS", "WeightFormat", "block_shape", "gateware_format", "known_formats", "weight_format"]

FORMATS: tuple[WeightFormat, ...] = (Int8(), Indices4(), Indices2(), Int16())
"""Every format; the number of each is what SETUP.weight_format means."""


def weight_format(number: int) -> WeightFormat:
    """The format that a SETUP's weight_format means.  Raises BadInput for a number that means none."""
    for found in FORMATS:
        if found.number == number:
            return found
    raise BadInput(f"no weight format has the number {number}")


def gateware_format(config: AcceleratorConfig) -> WeightFormat:
    """The format of weights as the multipliers of a configuration take them, which every layer can be stored in."""
    return next(found for found in FORMATS if _multiplied(found, config))


def known_formats(config: AcceleratorConfig) -> tuple[WeightFormat, ...]:
    """All formats that the engine of a configuration reads."""
    return tuple(found for found in FORMATS if _multiplied(found, config) or (found.indexed and config.codebooks))


def _multiplied(found: WeightFormat, config: AcceleratorConfig) -> bool:
    return not found.indexed and found.bits == config.weight_bits
