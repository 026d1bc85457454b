"""What of a layer lies on the chip, besides its tiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from hw.contract.isa import Buffer

Span = tuple[int, int]
"""A half-open range."""


@dataclass(frozen=True)
class Resident:
    """A feature map that stays in a buffer from the layer that writes it to the last one that reads it, whole or a band
    of rows at a time.

    tensor: its name; of a map in the activation buffer the one whose memory others may lie in.  start, size: grains.
    pitch, plane: words from row to row, and from plane to plane (in the residual buffer, M / N planes together).
    band: rows that are there at once, 0 for all; then layers `first` to `last` run band by band, and each band lies in
    the next of so many `slots`, all its planes, its rows begin where in a beat they would in memory.
    planes: of a band those that are there at once, 0 for all; then it is these that lie in the next slot.
    inside: planes, from the first on, that are there; 0 for all.  The others wait as results, in the output buffer, and
    are copied from there for the reader, a chunk at a time.
    """

    tensor: str
    buffer: Buffer
    start: int
    size: int
    pitch: int
    plane: int
    first: int
    last: int
    band: int = 0
    slots: int = 1
    planes: int = 0
    inside: int = 0

    def waits(self, plane: int) -> bool:
        """Whether a plane is not there, but waits as a result."""
        return 0 < self.inside <= plane

    def at(self, plane: int) -> int:
        """Where a plane begins, in its slot if there is one for every few planes."""
        if not self.planes:
            return plane * self.plane
        number, within = divmod(plane, self.planes)
        return (number % self.slots * self.planes + within) * self.plane

    def word(self, row: int, unit: int) -> int:
        """Where in the first plane a row begins.  unit: words of a grain."""
        if not self.band:
            return row * self.pitch
        number, within = divmod(row, self.band)
        slot = 0 if self.planes else self.size // self.slots * unit * (number % self.slots)
        return slot + number * self.band * self.pitch % unit + within * self.pitch


@dataclass(frozen=True)
class OnChip:
    """Of a layer: the maps that stay, among what it reads and writes, and the room that is left.

    source, residual: where these lie, None where they are loaded.  source_plane: the source's first plane there.
    results: for each tensor that it writes, where besides memory, each with the tensor's first plane there.
    unstored: those of them that memory does not hold.  windows: grains of a buffer in which its tiles lie, where that
    is not all of it.  band: rows of its results at a time, where other layers run with it band by band; else 0.
    again: then its weights do not wait from band to band, but are read for each.  sums: partial sums that another one
    keeps meanwhile.  read_before: that before it loads the same source, which is still there then.
    pool_words: where rows of results wait in the pool buffer from turn to turn, the word of row 0 of each output group,
    whose other rows follow it round the buffer; else empty.
    """

    source: Resident | None = None
    source_plane: int = 0
    residual: Resident | None = None
    results: Mapping[str, tuple[tuple[Resident, int], ...]] = field(default_factory=dict)
    unstored: frozenset[str] = frozenset()
    windows: Mapping[Buffer, Span] = field(default_factory=dict)
    band: int = 0
    again: bool = False
    sums: int = 0
    read_before: bool = False
    pool_words: tuple[int, ...] = ()

    @property
    def by_channel(self) -> bool:
        """Whether it reads some planes of its source at a time, as they are written."""
        return self.source is not None and self.source.planes > 0

    @property
    def inside(self) -> int:
        """Planes of its source that are there, where the others wait as results; else 0."""
        return 0 if self.source is None else self.source.inside

    @property
    def leaves_some(self) -> bool:
        """Whether some of what it writes waits as results."""
        return any(resident.inside for kept in self.results.values() for resident, _ in kept)

    @property
    def form(self) -> Hashable:
        """All that a choice of tiling depends on: not where maps lie, but which do and how much room they leave."""
        copies = tuple((tensor, len(kept)) for tensor, kept in self.results.items())
        rooms = tuple((buffer, end - start) for buffer, (start, end) in self.windows.items())
        run = self.band, self.again, self.sums, self.read_before, self.by_channel, self.inside, self.leaves_some
        return self.source is None, self.residual is None, copies, self.unstored, rooms, run, self.pool_words

    def copies(self, tensor: str) -> tuple[tuple[Resident, int], ...]:
        """Where a result goes on the chip."""
        return self.results.get(tensor, ())
