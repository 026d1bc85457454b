"""What of a layer lies on the chip, besides its tiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from hw.contract.isa import Buffer

Span = tuple[int, int]
"""A half-open range."""


@dataclass(frozen=True)
class Resident:
    """A feature map that stays in a buffer from the layer that writes it to the last one that reads it.

    tensor: its name; of a map in the activation buffer the one whose memory others may lie in.  start, size: grains.
    pitch, plane: words from row to row, and from plane to plane (in the residual buffer, M / N planes together).
    """

    tensor: str
    buffer: Buffer
    start: int
    size: int
    pitch: int
    plane: int
    first: int
    last: int

    def alive(self, first: int, last: int) -> bool:
        """Whether it is there in one of some layers."""
        return self.first <= last and first <= self.last


@dataclass(frozen=True)
class OnChip:
    """Of a layer: the maps that stay, among what it reads and writes, and the room that is left.

    source, residual: where these lie, None where they are loaded.  source_plane: the source's first plane there.
    results: for each tensor that it writes, where besides memory, each with the tensor's first plane there.
    unstored: those of them that memory does not hold.  windows: grains of a buffer in which its tiles lie, where that
    is not all of it.
    """

    source: Resident | None = None
    source_plane: int = 0
    residual: Resident | None = None
    results: Mapping[str, tuple[tuple[Resident, int], ...]] = field(default_factory=dict)
    unstored: frozenset[str] = frozenset()
    windows: Mapping[Buffer, Span] = field(default_factory=dict)

    @property
    def form(self) -> Hashable:
        """All that a choice of tiling depends on: not where maps lie, but which do and how much room they leave."""
        copies = tuple((tensor, len(kept)) for tensor, kept in self.results.items())
        rooms = tuple((buffer, end - start) for buffer, (start, end) in self.windows.items())
        return self.source is None, self.residual is None, copies, self.unstored, rooms

    def copies(self, tensor: str) -> tuple[tuple[Resident, int], ...]:
        """Where a result goes on the chip."""
        return self.results.get(tensor, ())
