"""Ring buffers: what lies where on the chip, and for how long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(eq=False)
class Region:
    """A stretch of a buffer, in grains; in a ring start counts on over every turn."""

    start: int
    size: int
    live: bool = True


def meet(one: Region, other: Region, depth: int) -> bool:
    """Whether two stretches of a buffer of `depth` grains share one."""
    distance = (other.start - one.start) % depth
    return distance < one.size or distance + other.size > depth


class Ring:
    """Allocates the stretches of one buffer, or of a part of it, in turn; the oldest live one bounds what is free.

    depth: grains.  A grain is what the ring is written by: a beat or a word, whichever is larger.
    base: where a part begins.  Addresses wrap around at the buffer's end alone: no stretch lies across that of a part.
    """

    def __init__(self, depth: int, base: int | None = None) -> None:
        self.depth, self.base = depth, base
        self.head = 0
        self._regions: deque[tuple[int, Region]] = deque()
        """With the grain where each begins, counted on over every turn."""

    def _next(self, size: int) -> int:
        if self.base is not None and self.head % self.depth + size > self.depth:
            return -(-self.head // self.depth) * self.depth
        return self.head

    def fits(self, size: int) -> bool:
        """Whether `take` would succeed."""
        begin = self._next(size)
        oldest = self._regions[0][0] if self._regions else begin
        return begin + size - oldest <= self.depth

    def next(self, size: int) -> int:
        """Where the next stretch would begin in the buffer."""
        begin = self._next(size)
        return begin if self.base is None else self.base + begin % self.depth

    def take(self, size: int) -> Region:
        """The next stretch.  Raises ValueError where it would overwrite a live one."""
        if not self.fits(size):
            raise ValueError(f"{size} grains do not fit the ring")
        region, begin = Region(self.next(size), size), self._next(size)
        self.head = begin + size
        self._regions.append((begin, region))
        return region

    def release(self, region: Region) -> None:
        """Give a stretch back; its space is free once all older ones are, too."""
        region.live = False
        while self._regions and not self._regions[0][1].live:
            self._regions.popleft()
