"""An estimate of the energy of an image: counts times a table of what each costs.

The table is M. Horowitz, "Computing's Energy Problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: an ASIC
of 45 nm at 0.9 V.  Nothing is measured, and an FPGA takes more; figures compare layers, networks and engines with one
another.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.contract.config import AcceleratorConfig

SOURCE = "M. Horowitz, ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V"
NAMES = "macs", "buffers", "memory"
"""One multiplication with its addition, one byte of an on-chip buffer, one byte off the chip; read or written."""

Energy = dict[str, float]
"""By NAMES."""


def picojoules(config: AcceleratorConfig) -> Energy:
    """What one of each takes.

    Of products the source has those of 8 bits (0.2) and of 32 (3.1), which grow with the square of the bits; of sums
    those of 8 bits (0.03) and of 32 (0.1), which grow with the bits.
    """
    return {
        "macs": 0.2 * (config.data_bits / 8) ** 2 + 0.1 * config.acc_bits / 32,
        "buffers": 10 / 8,  # a byte: 64 bits of a memory of 8 KB
        "memory": 1300 / 8,  # a byte: 64 bits of DRAM, the lower end (1.3 to 2.6 nJ)
    }


def energy(config: AcceleratorConfig, macs: int, buffer_bytes: int, memory_bytes: int) -> Energy:
    """What so much work takes, in microjoules."""
    counts = zip(picojoules(config).items(), (macs, buffer_bytes, memory_bytes), strict=True)
    return {name: count * each / 1e6 for (name, each), count in counts}


def total(parts: Sequence[Energy]) -> Energy:
    """What all parts take together."""
    return {name: sum(part[name] for part in parts) for name in NAMES}
