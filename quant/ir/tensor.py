"""Feature maps of an integer network: shape, format, and the integers that they can hold."""

from __future__ import annotations

from dataclasses import dataclass

from quant.ir.fixedpoint import QFormat

Shape = tuple[int, int, int]
"""(C, H, W) of a feature map."""

MOST_ELEMENTS = 1 << 25
"""Most elements of one feature map, 128 MiB in float32: several stand in memory at once, at 8 bytes an element some."""


@dataclass(frozen=True)
class Tensor:
    """A feature map: its shape (C, H, W), and the format of its integers."""

    name: str
    shape: Shape
    fmt: QFormat


@dataclass(frozen=True)
class Bound:
    """An interval of integers, both ends included."""

    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(-self.low, self.high)

    @property
    def bits(self) -> int:
        """The smallest two's complement width that holds the interval."""
        return max((~self.low if self.low < 0 else self.low).bit_length(), self.high.bit_length()) + 1

    def clip(self, clip: tuple[int, int]) -> Bound:
        """The interval after a clip."""
        low, high = clip
        return Bound(min(max(self.low, low), high), min(max(self.high, low), high))
