"""How far the engine shifts: results in the output stage, residuals on their way into the accumulator.

Gateware, executor and compiler refer to these ranges.  The gateware checks neither: it keeps as many bits of a
shift as its range needs and drops the others, so that a shift by 60 would be one by -4.  Therefore the compiler
refuses a layer, and the executor a program, that goes beyond them.
"""

from __future__ import annotations

SHIFTS = range(-15, 49)
"""Right shifts of an accumulator into its result; negative: to the left, for accumulators coarser than the output.

64 of them: six bits of shifter.  The largest leaves nothing of an accumulator of 48 bits."""


def residual_shifts(acc_bits: int) -> range:
    """Left shifts of a residual into an accumulator of `acc_bits`: all that leave one of its bits inside."""
    return range(acc_bits)
