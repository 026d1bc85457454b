"""The scheduler of the cycle model.

Everything but the read port is a recurrence: an instruction's times follow from those of the instructions
before it in its unit, in the fetch and behind its tokens, so they are computed as soon as those are known, in
any order.  The read port is where two streams of requests meet.  When nothing else can be computed, whatever
is unknown follows from a burst that the port has not taken yet, and therefore lies after the earliest request
that is known: that one is taken next.  The cost is that of instructions and bursts, not of cycles.

On a memory whose directions share one bus, its turns are such a place, too: a burst that waits for the bus is served
in a cycle that is known, unless something happens before.  So whichever is first in time is next, a request that the
read port takes or a burst that the bus serves; what follows from either lies after it.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import Any

import numpy as np

from hw.contract import timing
from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import Instruction, LoadInstruction, StoreInstruction, Target, Unit
from hw.contract.memory import NEVER, Memory
from hw.contract.program import Program
from hw.contract.registers import STALL_CAUSES
from sim.cycles.bursts import ReadTimes, WriteTimes
from sim.cycles.shared import SharedReads, SharedStoreTimes, SharedWrites
from sim.cycles.timeline import Timeline, layer_count, share, split
from sim.cycles.units import ComputeTimes, LoadTimes, PoolTimes, Recurrence, StoreTimes

_UNITS = tuple(Unit)
_NO_STALL = (0,) * len(STALL_CAUSES)


def simulate(program: Program, memory: Memory | None = None) -> Timeline:
    """The course of a run of a program, to the cycle; data plays no part.

    memory: latency 64 and a beat every cycle when None.
    Raises BadInput for a program that no engine can run.
    """
    memory = memory or Memory()
    run = (_SharedRun if memory.shared else _SeparateRun)(program, memory)
    run.run()
    return run.timeline()


class _Queue:
    """One unit's instructions, by index in the program: first those that started, then those dispatched."""

    def __init__(self, unit: Unit, recurrence: Recurrence[Any]) -> None:
        self.unit, self.recurrence = unit, recurrence
        self.indices: list[int] = []
        self.started = 0
        self.taken = [0] * len(_UNITS)  # tokens taken of each unit
        self.given: list[list[int]] = [[] for _ in _UNITS]  # for each unit, when its tokens can be taken
        self.stalls = dict.fromkeys(STALL_CAUSES, 0)
        self.busy, self.busy_until = 0, -1


class _Run:
    """A run under way: what is known of each instruction, None for what is not.

    store, reads, writes: that unit, and the bursts of both ports, as `Timeline` has them.
    """

    def __init__(self, program: Program, memory: Memory, store: Recurrence, reads: array, writes: array) -> None:
        self.program, self.config, self.memory = program, program.config, memory
        self.instructions: list[Instruction] = list(program.decode())
        self.load, self.compute = LoadTimes(self.config), ComputeTimes(self.config)
        self.bursts = reads, writes
        units: tuple[Recurrence, ...] = (self.load, self.compute, PoolTimes(self.config), store)
        self.queues = [_Queue(unit, recurrence) for unit, recurrence in zip(_UNITS, units, strict=True)]
        self.awake: list[_Queue] = []  # those whose head may be able to start, now that something is known
        self.arrived: list[int] = []
        self.dispatched: list[int] = []
        self.asked = 0  # instructions whose fetch the port has taken
        self.fetches: list[int] = []  # which of the port's bursts they are
        count = len(self.instructions)
        self.ready, self.start, self.end = [0] * count, [0] * count, [0] * count
        self.stalls: list[tuple[int, ...]] = [_NO_STALL] * count
        self.asked_at = 0

    def _fetch_count(self) -> int:
        """Of how many instructions the fetch's next burst is; 0 where it has all."""
        return min(self.config.derived.fetch_burst, len(self.instructions) - self.asked)

    def _fetch_request(self) -> int | None:
        """The cycle from which on the fetch requests its next burst, None where that is not known or it has all."""
        n = self._fetch_count()
        gone = self.asked + n - self.config.fetch_depth  # so many must have been dispatched
        if n == 0 or gone > len(self.dispatched):
            return None
        return max(self.asked_at, self.dispatched[gone - 1] if gone > 0 else 0) + timing.REQUEST_LATENCY

    def _fetch(self, cycle: int, burst: int) -> int:
        """The port takes the fetch's next burst in a cycle, as its `burst`th: of how many instructions it is."""
        count = self._fetch_count()
        self.fetches.append(burst)
        self.asked, self.asked_at = self.asked + count, cycle
        return count

    def _fetched(self, count: int, last: int) -> None:
        """The last beat of a burst of `count` instructions is there in a cycle."""
        each = self.config.derived.instruction_beats * self.memory.beat_every
        self.arrived.extend(last + timing.DISPATCH_LATENCY - (count - 1 - k) * each for k in range(count))

    def _advance(self) -> None:
        """Compute what follows from what is known."""
        self._dispatch()
        while self.awake:
            queue = self.awake.pop()
            while self._start(queue):
                pass
            self._dispatch()

    def _dispatch(self) -> None:
        depth = self.config.queue_depth
        while (i := len(self.dispatched)) < len(self.arrived):
            queue = self.queues[self.instructions[i].opcode.unit]
            blocker = len(queue.indices) - depth
            if blocker >= queue.started:
                break
            cycle = max(self.arrived[i], self.dispatched[-1] + timing.DISPATCH_INTERVAL if i else 0)
            if blocker >= 0:
                cycle = max(cycle, self.start[queue.indices[blocker]] + 1)
            self.dispatched.append(cycle)
            queue.indices.append(i)
            self.awake.append(queue)

    def _start(self, queue: _Queue) -> bool:
        """Start a unit's next instruction, if it is known when that is possible."""
        ready = queue.recurrence.ready
        if ready is None or queue.started == len(queue.indices):
            return False
        i = queue.indices[queue.started]
        instruction = self.instructions[i]
        wait = instruction.wait
        if wait:
            for unit in _UNITS:
                if wait >> unit & 1 and queue.taken[unit] >= len(queue.given[unit]):
                    return False
        cycle = max(ready, self.dispatched[i] + timing.QUEUE_LATENCY)
        if queue.started:
            cycle = max(cycle, self.start[queue.indices[queue.started - 1]] + timing.QUEUE_INTERVAL)
        self.ready[i] = ready
        if cycle > ready or wait:
            cycle = self._wait(queue, i, wait, ready, cycle)
        self.start[i] = cycle
        queue.started += 1
        done = queue.recurrence.begin(instruction, cycle)
        if done is not None:
            self._finish(queue, i, done)
        return True

    def _wait(self, queue: _Queue, i: int, wait: int, ready: int, cycle: int) -> int:
        """Take the tokens of an instruction that is at the head from `cycle` on; returns its start."""
        stalls = [cycle - ready, 0, 0, 0, 0]
        for unit in _UNITS:
            if wait >> unit & 1:
                there = queue.given[unit][queue.taken[unit]]
                queue.taken[unit] += 1
                if there > cycle:
                    stalls[1 + unit] = there - cycle
                    cycle = there
        if cycle > ready:
            self.stalls[i] = tuple(stalls)
            for cause, cycles in zip(STALL_CAUSES, stalls, strict=True):
                queue.stalls[cause] += cycles
        return cycle

    def _finish(self, queue: _Queue, i: int, done: int) -> None:
        """An instruction is done in a cycle, and its tokens can be taken from TOKEN_LATENCY cycles later on."""
        self.end[i] = done
        queue.busy += max(0, done - max(self.start[i], queue.busy_until))
        queue.busy_until = max(done, queue.busy_until)
        signal = self.instructions[i].signal
        if signal:
            for unit in _UNITS:
                if signal >> unit & 1:
                    self.queues[unit].given[queue.unit].append(done + timing.TOKEN_LATENCY)
                    self.awake.append(self.queues[unit])

    def timeline(self) -> Timeline:
        """What is known in the end."""
        cycles = max(self.end, default=0) + timing.END_LATENCY
        layer = np.array([i.layer for i in self.instructions], np.int64)
        unit = np.array([i.opcode.unit for i in self.instructions], np.int64)
        layers = layer_count(self.program, layer)
        read, written = self._bytes()
        counters = {"CYCLES": cycles, "BYTES_READ": int(read.sum()), "BYTES_WRITTEN": int(written.sum())}
        counters |= {f"BUSY_{q.unit.name}": q.busy for q in self.queues}
        for q in self.queues:
            assert q.recurrence.ready is not None
            q.stalls["instruction"] += max(0, cycles - q.recurrence.ready)
            counters |= {f"STALL_{q.unit.name}_{c.upper()}": n for c, n in q.stalls.items() if c != q.unit.name.lower()}
        end, passes = np.array(self.end, np.int64), np.array(self.compute.passes, np.int64).reshape(-1, 2)
        return Timeline(
            memory=self.memory,
            cycles=cycles,
            counters=counters,
            unit=unit,
            layer=layer,
            dispatched=np.array(self.dispatched, np.int64),
            ready=np.array(self.ready, np.int64),
            start=np.array(self.start, np.int64),
            end=end,
            stalls=np.array(self.stalls, np.int64).reshape(-1, len(STALL_CAUSES)),
            layer_cycles=share(
                split(end, layer, layers, cycles), layer[unit == Unit.COMPUTE], passes[:, 1] - passes[:, 0]
            ),
            layer_read=np.bincount(layer, read, layers).astype(np.int64),
            layer_written=np.bincount(layer, written, layers).astype(np.int64),
            reads=np.array(self.bursts[0]).reshape(-1, 2),
            writes=np.array(self.bursts[1]).reshape(-1, 2),
            fetches=np.array(self.fetches, np.int64),
            passes=passes,
        )

    def _bytes(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes read and written by each instruction, its own fetch included: int64 (instructions,) twice."""
        d = self.config.derived
        read = np.full(len(self.instructions), INSTRUCTION_BYTES, np.int64)
        written = np.zeros(len(self.instructions), np.int64)
        for k, i in enumerate(self.instructions):
            if isinstance(i, LoadInstruction):
                read[k] += i.rows * i.beats * d.beat_bytes
            elif isinstance(i, StoreInstruction) and i.target == Target.MEMORY:
                written[k] = i.planes * i.rows * i.words * d.word_bytes
        return read, written


class _SeparateRun(_Run):
    """On a memory with a bus for each direction: only the read port has to choose."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.reads, writes = ReadTimes(program.config, memory), WriteTimes(program.config, memory)
        super().__init__(program, memory, StoreTimes(program.config, writes), self.reads.bursts, writes.bursts)

    def run(self) -> None:
        """Compute everything: a program that is one comes to its end (`hw/contract/legality.py`)."""
        while True:
            self._advance()
            fetch = self._fetch_request()
            if self.load.bursts:
                done = self.load.issue(self.reads, fetch)
                if done is not None:
                    queue = self.queues[Unit.LOAD]
                    self._finish(queue, queue.indices[queue.started - 1], done)
                    self.awake.append(queue)
                    continue
            if fetch is None:
                break
            cycle = max(fetch, self.reads.free)
            count = self._fetch(cycle, len(self.reads.bursts) // 2)
            self._fetched(count, self.reads.take(cycle, count * self.config.derived.instruction_beats))


class _SharedRun(_Run):
    """On a memory with one bus: who is served when is to be chosen, too."""

    def __init__(self, program: Program, memory: Memory) -> None:
        config = program.config
        self.reads, self.writes = SharedReads(config, memory), SharedWrites(config, memory)
        self.store = SharedStoreTimes(config, self.writes)
        self.stored = 0  # STOREs whose end is known
        self.free, self.after_read = NEVER, False  # the bus
        super().__init__(program, memory, self.store, self.reads.bursts, self.writes.bursts)

    def run(self) -> None:
        """As `_SeparateRun`."""
        while True:
            self._advance()
            if self._ended():
                continue
            request = self._request()
            turn = self.memory.served(self.reads.available, self.writes.available, self.free, self.after_read)
            if request is not None and (turn is None or request[0] <= turn[0]):
                self._take(*request)
            elif turn is not None:
                self._serve(*turn)
            else:
                break

    def _ended(self) -> bool:
        """Whether STOREs ended that nobody knew of."""
        queue, ends = self.queues[Unit.STORE], self.store.done[self.stored :]
        for done in ends:
            self._finish(queue, queue.indices[self.stored], done)
            self.stored += 1
        return bool(ends)

    def _request(self) -> tuple[int, bool] | None:
        """The cycle in which the read port takes the next burst, and whether it is the fetch's; None while unknown."""
        free, fetch = self.reads.free, self._fetch_request()
        if free is None:
            return None
        load = max(free, self.load.offered) if self.load.bursts else None
        if fetch is None or (load is not None and load < fetch):
            return None if load is None else (load, False)
        return max(free, fetch), True

    def _take(self, cycle: int, fetch: bool) -> None:
        if fetch:
            count = self._fetch(cycle, self.reads.taken)
            self.reads.take(cycle, count * self.config.derived.instruction_beats, partial(self._fetched, count))
            return
        queue, beats = self.queues[Unit.LOAD], self.load.bursts[self.load.issued]
        known = None
        if self.load.issued_one(cycle):
            known = partial(self._loaded, queue.indices[queue.started - 1])
            self.awake.append(queue)
        self.reads.take(cycle, beats, known)

    def _loaded(self, index: int, last: int) -> None:
        self._finish(self.queues[Unit.LOAD], index, last + 1)

    def _serve(self, cycle: int, read: bool) -> None:
        last = self.reads.serve(cycle) if read else self.store.serve(cycle)
        self.free, self.after_read = last + self.memory.beat_every, read
        if not read:
            self.awake.append(self.queues[Unit.STORE])
