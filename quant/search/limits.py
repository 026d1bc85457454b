"""What formats must respect so that the hardware can compute with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the engine's output stage and accumulator.

    acc_bits: accumulator width.  shift_low, shift_high: right shift of an accumulator into its output
    (negative: to the left).  residual_shift: largest left shift of a residual into the accumulator.
    bias_reach: largest sum of |bias| and shifted residual for which weights are not made coarser.  A channel
    of very small weights would otherwise get so fine an accumulator that its bias alone leaves the integers
    that float32 represents exactly, for weights that hardly matter beside that bias.
    """

    acc_bits: int = 32
    shift_low: int = -15
    shift_high: int = 32
    residual_shift: int = 31
    bias_reach: int = 1 << 23

    @staticmethod
    def of(data_bits: int, weight_bits: int) -> Limits:
        """The engine's limits for these widths: products of more than 16 bits need the wide accumulator."""
        if data_bits + weight_bits <= 16:
            return Limits()
        return Limits(acc_bits=48, bias_reach=1 << 47)
