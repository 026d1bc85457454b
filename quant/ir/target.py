"""What quantizer and importer may know of the hardware: one value, which the host makes and hands over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from quant.ir.fixedpoint import ACCUMULATORS
from quant.ir.layer import Layer
from quant.ir.network import Network

USUAL, WIDE = ACCUMULATORS


@dataclass(frozen=True)
class Refusal:
    """Why a target cannot run a layer.  edit: what would let it, the cheapest change of the network; "" if none is."""

    layer: str
    reason: str
    edit: str = ""

    def __str__(self) -> str:
        return f"layer {self.layer}: {self.reason}" + (f": {self.edit}" if self.edit else "")


def _runs(network: Network, layer: Layer) -> Refusal | None:
    return None


@dataclass(frozen=True)
class Target:
    """An engine, as far as the choice of formats and layers depends on it.

    data_bits, weight_bits: the widest data that layers read, the widest weights.  acc_bits: of the accumulator.
    shifts: right shifts of an accumulator into its output (negative: to the left), without a gap.
    residual_shifts: left shifts of a residual into the accumulator, from 0.
    bias_reach: largest sum of |bias| and shifted residual for which weights are not made coarser.  A channel
    of very small weights would otherwise get so fine an accumulator that its bias alone leaves the integers
    that float32 represents exactly, for weights that hardly matter beside that bias.
    refusal: why a layer of a network cannot run, None where it can.
    cycles: what one image takes; None where nobody can tell.  lanes: channels that count as so many, at least: a layer
    of fewer takes no less.

    The defaults are the numbers of the presets (a test holds them to the contract's), for whoever quantizes without
    a host; they refuse nothing.
    """

    data_bits: int = 8
    weight_bits: int = 8
    acc_bits: int = USUAL
    shifts: range = range(-15, 49)
    residual_shifts: range = range(32)
    bias_reach: int = ACCUMULATORS[USUAL]
    refusal: Callable[[Network, Layer], Refusal | None] = _runs
    cycles: Callable[[Network], float] | None = None
    lanes: int = 1

    @property
    def numbers(self) -> dict[str, int]:
        """All that formats depend on, as JSON values."""
        return {
            "data_bits": self.data_bits,
            "weight_bits": self.weight_bits,
            "acc_bits": self.acc_bits,
            "lowest_shift": self.shifts[0],
            "highest_shift": self.shifts[-1],
            "highest_residual_shift": self.residual_shifts[-1],
            "bias_reach": self.bias_reach,
        }

    def widened(self, data_bits: int, weight_bits: int) -> Target:
        """The target for data and weights of these widths: itself, or where they are beyond it, one like it with the
        wide accumulators that longer products need."""
        if data_bits <= self.data_bits and weight_bits <= self.weight_bits:
            return self
        return replace(
            self,
            data_bits=max(data_bits, self.data_bits),
            weight_bits=max(weight_bits, self.weight_bits),
            acc_bits=WIDE,
            bias_reach=ACCUMULATORS[WIDE],
        )
