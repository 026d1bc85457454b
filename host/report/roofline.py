"""What a layer must cost: the roofline that cycles are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import LayerEntry

COUNTED = ("Conv", "Gemm")
"""Operators of the roofline; pooling, additions and the rest count nothing."""


@dataclass(frozen=True)
class Roofline:
    """Cycles that a layer cannot go below, and what sets them: compute, read or write."""

    cycles: float
    bound: str


def roofline(config: AcceleratorConfig, layer: LayerEntry, memory: Memory) -> Roofline:
    """max(MACs / multipliers, beats read, beats written) of a Conv or Gemm; 0 of the rest.

    Beats are compulsory bytes / bytes of a beat, each for as many cycles as the memory takes for one.  Where both
    directions share a bus, it is beats read and written together, `bus`.
    """
    if layer.op not in COUNTED:
        return Roofline(0.0, "none")
    beat = config.derived.beat_bytes
    limits = {"compute": Fraction(layer.macs, config.derived.multipliers)}
    moved = {"read": layer.read_bytes, "write": layer.written_bytes}
    if memory.shared:
        moved = {"bus": sum(moved.values())}
    limits |= {name: Fraction(memory.beat_every * size, beat) for name, size in moved.items()}
    bound = max(limits, key=lambda name: limits[name])
    return Roofline(float(limits[bound]), bound)
