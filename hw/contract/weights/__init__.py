"""The formats in which weights lie in memory, a file each.

Whoever must know what a weight is made of asks its format: the compiler encodes, the executor decodes, the cycle
model and the hazards ask for a block's beats.  A new format is a file here and a line in FORMATS.
"""

from __future__ import annotations

from hw.contract.config import AcceleratorConfig
from hw.contract.weights.format import WeightFormat
from hw.contract.weights.indices import Indices2, Indices4
from hw.contract.weights.integers import Int8, Int16
from hw.contract.weights.pairs import Pairs4
from quant.base.errors import BadInput

__all__ = [
    "FORMATS",
    "WeightFormat",
    "gateware_format",
    "known_formats",
    "pairs_format",
    "weight_format",
]

FORMATS: tuple[WeightFormat, ...] = (Int8(), Indices4(), Indices2(), Int16(), Pairs4())
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


def pairs_format(config: AcceleratorConfig) -> WeightFormat | None:
    """The format whose weights share multipliers, two output groups at once; None where an engine has none."""
    return next((found for found in FORMATS if found.groups > 1 and config.packed), None)


def known_formats(config: AcceleratorConfig) -> tuple[WeightFormat, ...]:
    """All formats that the engine of a configuration reads."""

    def reads(found: WeightFormat) -> bool:
        if found.groups > 1:
            return config.packed
        return config.codebooks if found.indexed else _multiplied(found, config)

    return tuple(filter(reads, FORMATS))


def _multiplied(found: WeightFormat, config: AcceleratorConfig) -> bool:
    return not found.indexed and found.groups == 1 and found.bits == config.weight_bits
