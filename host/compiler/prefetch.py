"""Which load comes next: loads run ahead of the steps that need them.

Memory takes tens of cycles to answer, so what a step needs should be asked for while the steps before it compute.
A load is emitted as early in the stream as three rules allow:

- There is room for it in its ring (`room`).
- It stands behind the step whose result it reads from memory: tokens are given by earlier instructions only.
- Of each buffer, no more than half a queue of loads is ahead of its step.  Dispatch is in order: a load that found the
  queue of its unit full would hold back the CONV behind it, and with it the end of what the queue waits for.

What the next step itself needs is exempt from the last rule.  Among several that may come, the one whose step is
nearest does; fills of one buffer keep their order, since a ring gives room in order.  Three waits for a step or a few
are shorter than what would else stand in the way, as a rough clock says (`_Clock`):

- One that only the last rule keeps back is passed by a farther one of another buffer only if it would still be there in
  time: else a layer's inputs queue behind all weights of the next one.
- One for a later layer does not come before a step that stores in its buffer, unless it is read by then: LOAD and STORE
  share the way into a buffer, so the STORE, and the layer that waits for it, would wait for memory.
- One that a nearer load could not pass, because what that reads is not written yet, stays behind if it would hold that
  up for longer than the read port would have nothing to do.

Of planes that several layers wrote (a concatenation), the last of them right before they are needed, those of each
layer are a load of their own: the others do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np

from host.compiler.memory import MemoryMap
from host.compiler.problem import Span
from host.compiler.room import Room
from host.compiler.steps import ConvStep, Fill, Plan
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.layout import Placement
from hw.contract.timing import pass_cycles

_ORDER = Buffer.WEIGHT, Buffer.ACTIVATION, Buffer.RESIDUAL
"""Of fills for the same step: a CONV prepares its weights before it reads activations."""
SOON = 8
"""A layer that reads what was written no more than so many steps before waits for it, and does not for the rest."""


class _Waiting:
    """A fill, or what is left of it, in parts that each wait for another step, `after`, in the order of these."""

    def __init__(self, whole: Fill, parts: list[tuple[Fill, int]]) -> None:
        self.whole, self.parts = whole, parts
        self._begun = False

    def head(self, index: int) -> tuple[Fill, int]:
        """What comes next before a step, and the last step whose result it reads: all of it if all is written."""
        last = self.parts[-1][1]
        return self.parts[0] if self._begun or last >= index else (self.whole, last)

    def take(self, fill: Fill) -> int:
        """It is emitted, all of it or its next part; returns the last step whose result that reads."""
        after = self.parts[-1 if fill is self.whole else 0][1]
        self.parts = [] if fill is self.whole else self.parts[1:]
        self._begun = True
        return after


class Prefetch:
    """The fills of a plan that are not emitted yet."""

    def __init__(self, plan: Plan, memory: MemoryMap, config: AcceleratorConfig, room: Room) -> None:
        self._room = room
        self._steps = plan.steps
        self._clock = _Clock(plan)
        self._limit = max(1, config.queue_depth // 2)
        self._waiting: dict[Buffer, deque[_Waiting]] = {buffer: deque() for buffer in Buffer}
        self._ahead: dict[Buffer, deque[int]] = {buffer: deque() for buffer in Buffer}
        """For each fill emitted the step that needs it, while that is not emitted."""
        for waiting in _sources(plan, memory, config):
            self._waiting[waiting.whole.piece.buffer].append(waiting)

    def before(self, index: int) -> Iterator[Fill]:
        """The fills to emit before a step, all that it needs among them; each has room when it is given out."""
        while (fill := self._next(index)) is not None:
            buffer = fill.piece.buffer
            waiting = self._waiting[buffer][0]
            after = waiting.take(fill)
            if not waiting.parts:
                self._waiting[buffer].popleft()
            self._ahead[buffer].append(fill.step)
            self._room.take(fill.piece)
            self._clock.read(fill, after)
            yield fill
        if any(queue and queue[0].whole.step <= index for queue in self._waiting.values()):
            raise AssertionError(f"step {index} lacks what it needs")

    def passed(self, index: int) -> None:
        """A step is emitted: its fills are no longer ahead."""
        self._clock.passed(index)
        for ahead in self._ahead.values():
            while ahead and ahead[0] <= index:
                ahead.popleft()

    def _next(self, index: int) -> Fill | None:
        """The most urgent fill that can be emitted before a step, if any."""
        kept: Fill | None = None
        unwritten: tuple[Fill, int] | None = None
        heads = [(*self._waiting[buffer][0].head(index), buffer) for buffer in _ORDER if self._waiting[buffer]]
        for fill, after, buffer in sorted(heads, key=lambda head: head[0].step):
            if after >= index:
                unwritten = unwritten or (fill, after)
                continue
            if not self._room.fits(fill.piece, fill.step):
                continue
            if fill.step > index and unwritten is not None and self._clock.delays(fill, *unwritten):
                return None
            if fill.step > index and len(self._ahead[buffer]) >= self._limit:
                kept = kept or fill
            elif fill.step <= index or not self._in_the_way(fill, index):
                return fill if kept is None or self._clock.over(fill, kept.step, kept) else None
        return None

    def _in_the_way(self, fill: Fill, index: int) -> bool:
        """Whether a fill for a later layer than that of a step would hold up what is stored in its buffer."""
        steps, buffer = self._steps, fill.piece.buffer
        if fill.layer == steps[index].layer:
            return False
        storing = next((k for k in range(index, fill.step) if _stores(steps[k], buffer)), None)
        return storing is not None and not self._clock.over(fill, storing + 1)


def _stores(step: ConvStep, buffer: Buffer) -> bool:
    """Whether a step's results go to a buffer on the chip."""
    chip = step.problem.chip
    return step.last and any(r.buffer is buffer for t in step.problem.layer.written for r, _ in chip.copies(t.name))


class _Clock:
    """About when the read port is through with the loads that are emitted, and when steps begin: without latencies, and
    as if nothing but loads held the array up.  So much is enough to say which load can wait."""

    def __init__(self, plan: Plan) -> None:
        self._begins = [0, *accumulate(_passes(step) for step in plan.steps)]
        """Of each step, if the array never waited."""
        self._every = plan.steps[0].problem.memory.beat_every
        self._read = 0
        self._arrived = [0] * len(plan.steps)
        """When what a step needs is there."""
        self._waited = 0

    def _begin(self, step: int) -> int:
        return self._begins[step] + self._waited

    def _cycles(self, fill: Fill) -> int:
        return self._every * sum(load.beats * load.rows for load in fill.loads)

    def read(self, fill: Fill, after: int) -> None:
        """A fill is emitted that reads what step `after` writes."""
        self._read = max(self._read, self._begin(after + 1) if after >= 0 else 0) + self._cycles(fill)
        self._arrived[fill.step] = self._read

    def passed(self, index: int) -> None:
        """A step is emitted."""
        self._waited += max(0, self._arrived[index] - self._begin(index))

    def over(self, fill: Fill, step: int, kept: Fill | None = None) -> bool:
        """Whether a fill that is emitted now, and another one behind it, are read when a step begins."""
        cycles = self._cycles(fill) + (0 if kept is None else self._cycles(kept))
        return self._read + cycles <= self._begin(step)

    def delays(self, fill: Fill, other: Fill, after: int) -> bool:
        """Whether a fill that is emitted now keeps another one, of what step `after` writes, from being read in time,
        by more cycles than the read port would wait for that."""
        written = self._begin(after + 1)
        late = self._read + self._cycles(fill) + self._cycles(other) > self._begin(other.step)
        return late and self._read + self._cycles(fill) - written > written - self._read


def _passes(step: ConvStep) -> int:
    """Cycles of a step's passes."""
    problem, outputs = step.problem, step.problem.outputs
    positions = problem.positions(step.band.rows, step.strip.width)
    one = pass_cycles(problem.config, problem.layer.weights, positions, mode=outputs.mode, listed=outputs.listed)
    return outputs.passes_of(step.group, step.chunk) * one


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


def _sources(plan: Plan, memory: MemoryMap, config: AcceleratorConfig) -> Iterator[_Waiting]:
    """Every fill with the last step whose result it reads, -1 where none writes that."""
    written: dict[str, _Written] = {}
    fills = iter(plan.fills)
    fill = next(fills, None)
    for index, step in enumerate(plan.steps):
        while fill is not None and fill.step <= index:
            yield _by_source(fill, plan, written, memory, config)
            fill = next(fills, None)
        for placement, words in _results(step, memory):
            home = memory.homes[placement.tensor]
            parts = placement.parts(config)
            plane = (home.plane + step.group * config.derived.planes) * parts
            count = step.problem.outputs.planes(step.group) * parts
            written.setdefault(home.root, _Written()).rows.append((plane, plane + count, *words, index))


def _by_source(
    fill: Fill, plan: Plan, written: dict[str, _Written], memory: MemoryMap, config: AcceleratorConfig
) -> _Waiting:
    """A fill as a whole; or, of planes of an input that several layers wrote, the last of them right before it is
    needed, those of each layer.  Not of a residual: a row of its LOAD has a memory by its number."""
    if fill.tensor is None:
        return _Waiting(fill, [(fill, -1)])
    home = memory.homes[fill.tensor]
    first = home.plane * memory.placements[home.root].parts(config)
    table = written.setdefault(home.root, _Written())

    def after(begin: int, end: int) -> int:
        return table.last((first + begin, first + end), fill.words)

    (begin, end), last = fill.planes, after(*fill.planes)
    inputs = fill.piece.buffer is Buffer.ACTIVATION and not plan.steps[fill.step].problem.geometry.flat
    if not inputs or len(fill.loads) != 1 or last < 0 or fill.step - last > SOON:
        return _Waiting(fill, [(fill, last)])
    writers = [plan.steps[k].layer if k >= 0 else -1 for k in (after(p, p + 1) for p in range(begin, end))]
    edges = [begin, *(p for p in range(begin + 1, end) if writers[p - begin] != writers[p - begin - 1]), end]
    parts = [(_planes(fill, *part, config), after(*part)) for part in pairwise(edges)]
    return _Waiting(fill, sorted(parts, key=lambda part: part[1]))


def _planes(fill: Fill, begin: int, end: int, config: AcceleratorConfig) -> Fill:
    """Of a fill with one LOAD, that of its planes, some planes."""
    (load,), (first, last) = fill.loads, fill.planes
    part = load.part(begin - first, end - first, last - first, config.derived.beat_bytes)
    return replace(fill, loads=(part,), planes=(begin, end))


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
