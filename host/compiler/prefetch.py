"""Which load comes next: loads run ahead of the steps that need them.

Memory takes tens of cycles to answer, so what a step needs should be asked for while the steps before it compute.
A load is emitted as early in the stream as three rules allow:

- There is room for it in its ring (`room`).
- It stands behind the step whose result it reads from memory: tokens are given by earlier instructions only.
- Of each buffer, no more than half a queue of loads is ahead of its step.  Dispatch is in order: a load that found the
  queue of its unit full would hold back the CONV behind it, and with it the end of what the queue waits for.

What the next step itself needs is exempt from the last rule.  Among several that may come, the one whose step is
nearest does; fills of one buffer keep their order, since a ring gives room in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from host.compiler.memory import MemoryMap
from host.compiler.problem import Span
from host.compiler.room import Room
from host.compiler.steps import ConvStep, Fill, Plan
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.layout import Placement


class Prefetch:
    """The fills of a plan that are not emitted yet."""

    def __init__(self, plan: Plan, memory: MemoryMap, config: AcceleratorConfig, room: Room) -> None:
        self._room = room
        self._limit = max(1, config.queue_depth // 2)
        self._waiting: dict[Buffer, deque[tuple[Fill, int]]] = {buffer: deque() for buffer in Buffer}
        """Fills in order, each with the last step whose result it reads."""
        self._ahead: dict[Buffer, deque[int]] = {buffer: deque() for buffer in Buffer}
        """For each fill emitted the step that needs it, while that is not emitted."""
        for fill, after in _sources(plan, memory, config):
            self._waiting[fill.piece.buffer].append((fill, after))

    def before(self, index: int) -> Iterator[Fill]:
        """The fills to emit before a step, all that it needs among them; each has room when it is given out."""
        while (fill := self._next(index)) is not None:
            buffer = fill.piece.buffer
            self._waiting[buffer].popleft()
            self._ahead[buffer].append(fill.step)
            self._room.take(fill.piece)
            yield fill
        if any(queue and queue[0][0].step <= index for queue in self._waiting.values()):
            raise AssertionError(f"step {index} lacks what it needs")

    def passed(self, index: int) -> None:
        """A step is emitted: its fills are no longer ahead."""
        for ahead in self._ahead.values():
            while ahead and ahead[0] <= index:
                ahead.popleft()

    def _next(self, index: int) -> Fill | None:
        """The most urgent fill that can be emitted before a step, if any."""
        best: Fill | None = None
        for buffer in (Buffer.WEIGHT, Buffer.ACTIVATION, Buffer.RESIDUAL):
            if not self._waiting[buffer]:
                continue
            fill, after = self._waiting[buffer][0]
            few = fill.step <= index or len(self._ahead[buffer]) < self._limit
            if (
                after < index
                and few
                and self._room.fits(fill.piece, fill.step)
                and (best is None or fill.step < best.step)
            ):
                best = fill
        return best


@dataclass
class _Written:
    """Which steps write which part of one tensor: rows of (first plane, last, first word, last, step)."""

    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    table: np.ndarray | None = None

    def last(self, planes: Span, words: Span) -> int:
        """The last step that writes something of a part; -1 if none does."""
        if self.table is None or len(self.table) != len(self.rows):
            self.table = np.array(self.rows, np.int64).reshape(-1, 5)
        t = self.table
        meets = (t[:, 0] < planes[1]) & (t[:, 1] > planes[0]) & (t[:, 2] < words[1]) & (t[:, 3] > words[0])
        return int(t[meets, 4].max(initial=-1))


def _sources(plan: Plan, memory: MemoryMap, config: AcceleratorConfig) -> Iterator[tuple[Fill, int]]:
    """Every fill with the last step whose result it reads, -1 where none writes that."""
    written: dict[str, _Written] = {}
    fills = iter(plan.fills)
    fill = next(fills, None)
    for index, step in enumerate(plan.steps):
        while fill is not None and fill.step <= index:
            after = -1
            if fill.tensor is not None:
                home = memory.homes[fill.tensor]
                first = home.plane * memory.placements[home.root].parts(config)
                planes = (first + fill.planes[0], first + fill.planes[1])
                after = written.setdefault(home.root, _Written()).last(planes, fill.words)
            yield fill, after
            fill = next(fills, None)
        for placement, words in _results(step, memory):
            home = memory.homes[placement.tensor]
            parts = placement.parts(config)
            plane = (home.plane + step.group * config.derived.planes) * parts
            count = step.problem.outputs.planes(step.group) * parts
            written.setdefault(home.root, _Written()).rows.append((plane, plane + count, *words, index))


def _results(step: ConvStep, memory: MemoryMap) -> Iterator[tuple[Placement, Span]]:
    """What a step's results become in memory: placement, and words of each plane."""
    layer = step.problem.layer
    if not step.last:
        return
    spans = []
    if layer.keep and layer.spread is not None:
        whole = layer.spread.whole.name
        yield memory.placements[whole], layer.spread.words(step.band.rows, step.strip.columns)
    elif layer.keep:
        spans.append((layer.result.name, step.band.rows, step.strip.columns))
    if layer.pooling is not None and layer.pooling.spread is not None and step.band.pooled != (0, 0):
        placed = memory.placements[layer.pooling.written.name]
        yield placed, layer.pooling.spread.words(step.band.pooled, step.strip.pooled)
    elif layer.pooling is not None and step.band.pooled != (0, 0):
        spans.append((layer.pooling.result.name, step.band.pooled, step.strip.pooled))
    for name, rows, columns in spans:
        placement = memory.placements[name]
        width = placement.shape[2]
        yield placement, (rows[0] * width + columns[0], (rows[1] - 1) * width + columns[1])
