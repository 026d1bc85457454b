"""Ring buffers: what lies where on the chip, and for how long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(eq=False)
class Region:
    """A stretch of a ring, in the ring's grains; start counts on over every turn."""

    start: int
    size: int
    live: bool = True


class Ring:
    """Allocates the stretches of one buffer in turn; the oldest live one bounds what is free.

    depth: grains.  A grain is what the ring is written by: a beat or a word, whichever is larger.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.head = 0
        self._regions: deque[Region] = deque()

    def fits(self, size: int) -> bool:
        """Whether `take` would succeed."""
        oldest = self._regions[0].start if self._regions else self.head
        return self.head + size - oldest <= self.depth

    def take(self, size: int) -> Region:
        """The next stretch.  Raises ValueError where it would overwrite a live one."""
        if not self.fits(size):
            raise ValueError(f"{size} grains do not fit the ring")
        region = Region(self.head, size)
        self.head += size
        self._regions.append(region)
        return region

    def release(self, region: Region) -> None:
        """Give a stretch back; its space is free once all older ones are, too."""
        region.live = False
        while self._regions and not self._regions[0].live:
            self._regions.popleft()
