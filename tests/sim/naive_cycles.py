"""The timing of docs/architecture.md played out cycle by cycle: slow, literal, without any shortcut.

What `sim.cycles` computes from instructions and bursts must equal what happens here.  In each cycle, everything
is decided from what registers show; `_later` collects what changes at the cycle's end.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

from hw.contract import timing
from hw.contract.config import INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import Instruction, Mode, Opcode, Target, Unit
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import STALL_CAUSES
from hw.contract.weights import weight_format

Burst = tuple[int, int]
"""Address of the first beat, in bytes from the start of the window; beats."""


def bursts(config: AcceleratorConfig, address: int, size: int) -> list[Burst]:
    """The bursts of a row: one beat after the other, until a limit is met."""
    beat = config.derived.beat_bytes
    found = [(address // beat * beat, 0)]
    for at in range(address // beat, -(-(address + size) // beat)):
        if found[-1][1] == config.max_burst or (found[-1][1] and at * beat % 4096 == 0):
            found.append((at * beat, 0))
        found[-1] = (found[-1][0], found[-1][1] + 1)
    return found


class Naive:
    """One run.  `counters` as the engine's registers, `start` and `end` of each instruction; `asked`: each burst's
    direction, and the cycle in which the port shows its address; `last`: cycles of bursts' last beats, by direction;
    `multiplying`: every cycle of a pass."""

    def __init__(self, program: Program, memory: Memory, limit: int = 200_000) -> None:
        self.c, self.memory, self.whole = program.config, memory, program
        self.program = list(program.decode())
        self.start, self.end = [-1] * len(self.program), [-1] * len(self.program)
        self.counters: Counter[str] = Counter()
        self.asked: dict[str, list[tuple[int, Burst]]] = {"READ": [], "WRITE": []}
        self.last: dict[str, list[int]] = {"READ": [], "WRITE": []}
        self.multiplying: list[int] = []
        self.t = 0
        self.queues: list[deque[int]] = [deque() for _ in Unit]
        self.shown: list[int] = [0 for _ in Unit]  # cycle from which on each queue's first instruction is at its head
        self.gate: list[list[Unit] | None] = [None for _ in Unit]  # whose tokens it lacked in the cycle before
        self.tokens: Counter[tuple[int, int]] = Counter()
        self.flying: list[list[int]] = [[] for _ in Unit]
        self.ready = [True for _ in Unit]  # there was a place in the cycle before, and nothing started
        self.done_at: defaultdict[tuple[Unit, int], list[int]] = defaultdict(list)
        self.ended: set[int] = set()  # instructions whose `done` has a cycle
        # fetch
        self.requested = self.arrived = self.dispatched = 0
        self.kept = 0  # instructions in the buffer or underway, as known in the cycle before
        self.asked_at = 0  # cycle in which the burst before was accepted
        self.arrived_at: list[int] = []
        self.dispatched_at: list[int] = []
        # read port and memory
        self.read_outstanding = 0
        self.reads: deque[list[Any]] = deque()  # [cycle of the address, beats left, what to do with a beat]
        self.last_read = -(10**9)
        # the bus, where both directions share one: of which direction a burst holds it, and of which the one before was
        self.holder = self.before = ""
        self.last_beat = -(10**9)
        self.offered = False  # at the beginning of a burst, and in the cycle before
        # load
        self.load_bursts: deque[tuple[Burst, bool]] = deque()
        self.load_from = 0  # cycle from which on the next one can be accepted
        self.load_busy = False
        # compute
        self.setup: Instruction | None = None
        self.prepare_free = 0
        self.passes_end = 0
        # store
        self.store_bursts: deque[tuple[Burst, bool]] = deque()
        self.store_from = 0  # cycle from which on the next one can be accepted
        self.store_busy = self.store_reading = False
        self.store_left = 0
        self.store_local = False  # what is read now goes to a buffer on the chip
        self.store_now = -1
        self.store_there: dict[int, int] = {}  # by instruction, the cycle in which all its data are where they go
        self.write_outstanding = 0
        self.beats: deque[tuple[int, bool, bool]] = deque()  # (cycle of its read, ends its burst, its instruction)
        self.last_write = -(10**9)
        self.answers: deque[tuple[int, bool]] = deque()  # (first cycle of the response, ends its instruction)
        self._later: list[Callable[[], None]] = []
        while not self._finished():
            self._cycle()
            assert self.t < limit, "never ends"
        self._cycle()
        self._count()
        self.counters["CYCLES"] = self.t + 1

    def _finished(self) -> bool:
        return (
            self.t >= 1
            and self.dispatched == len(self.program)
            and not any(self.queues)
            and not any(self.flying)
            and not self.read_outstanding
            and not self.write_outstanding
        )

    def later(self, change: Callable[[], None]) -> None:
        self._later.append(change)

    def set(self, **values: Any) -> None:
        self.later(lambda: self.__dict__.update(values))

    def _cycle(self) -> None:
        self._count()
        if self.memory.shared:
            self._bus()
        else:
            self._read_beat()
            self._write_beat()
        self._answer()
        self._store()
        self._store_ends()
        self._port()
        self._dispatch()
        self._units()
        for change in self._later:
            change()
        self._later.clear()
        self.t += 1

    # --- the read side

    def _port(self) -> None:
        free = self.read_outstanding < self.c.read_outstanding
        n = min(self.c.derived.fetch_burst, len(self.program) - self.requested)
        kept = self.requested - self.dispatched
        self.set(kept=kept)
        if self.t >= self.asked_at + 2 and n and self.c.fetch_depth - self.kept >= n:
            if free:
                code = self.whole.program_base + self.requested * INSTRUCTION_BYTES
                self._accept((code, n * self.c.derived.instruction_beats), self._instruction_beat())
                self.set(requested=self.requested + n, asked_at=self.t)
        elif self.load_bursts and free and self.t >= self.load_from:
            burst, final = self.load_bursts.popleft()
            self._accept(burst, self._load_beat(burst[1], final))
            self.set(load_from=self.t + 2)
            if final:
                self.set(load_busy=False)

    def _accept(self, burst: Burst, action: Callable[[], None]) -> None:
        self.asked["READ"].append((self.t + 1, burst))
        self.reads.append([self.t + 1, burst[1], action])
        self._outstanding(1)

    def _outstanding(self, by: int) -> None:
        def change() -> None:
            self.read_outstanding += by

        self.later(change)

    def _read_beat(self) -> None:
        if not self.reads:
            return
        address, left, action = self.reads[0]
        if self.t < address + self.memory.latency or self.t < self.last_read + self.memory.beat_every:
            return
        self.last_read = self.t
        self.counters["BYTES_READ"] += self.c.derived.beat_bytes
        self.reads[0][1] = left - 1
        if left == 1:
            self.last["READ"].append(self.t)
            self.reads.popleft()
            self._outstanding(-1)
        action()

    def _bus(self) -> None:
        """One beat, of the burst that holds the bus; without one the next is chosen."""
        read = bool(self.reads) and self.t >= self.reads[0][0] + self.memory.latency
        write = bool(self.beats) and self.t >= self.beats[0][0] + timing.STORE_READ_LATENCY
        if self.t >= self.last_beat + self.memory.beat_every:
            if not self.holder and read and not (write and self.offered and self.before == "READ"):
                self.holder = "READ"
            elif not self.holder and write:
                self.holder = "WRITE"
            if self.holder == "READ":
                ends = self.reads[0][1] == 1
                self._read_beat()
            elif self.holder:
                ends = self.beats[0][1]
                self._write_beat()
            if self.holder:
                self.last_beat, self.before = self.t, self.holder
                write = write and self.holder == "READ"  # another one is offered in the next cycle at the earliest
                if ends:
                    self.holder = ""
        self.offered = write

    def _instruction_beat(self) -> Callable[[], None]:
        count = 0

        def beat() -> None:
            nonlocal count
            count += 1
            if count % self.c.derived.instruction_beats == 0:
                self.set(arrived=self.arrived + 1)
                self.arrived_at.append(self.t)

        return beat

    def _load_beat(self, beats: int, final: bool) -> Callable[[], None]:
        left = beats

        def beat() -> None:
            nonlocal left
            left -= 1
            if final and not left:
                self._done(Unit.LOAD, self.t + 1)

        return beat

    # --- instructions

    def _dispatch(self) -> None:
        index = self.dispatched
        before = self.dispatched_at[-1] if index else -2
        if self.arrived > index and self.t >= max(self.arrived_at[index] + 3, before + 2):
            queue = self.queues[self.program[index].opcode.unit]
            if len(queue) < self.c.queue_depth:
                self.later(lambda: queue.append(index))
                self.set(dispatched=index + 1)
                self.dispatched_at.append(self.t)

    def _place(self, unit: Unit) -> bool:
        if unit == Unit.LOAD:
            return not self.load_busy
        if unit == Unit.COMPUTE:
            return self.t >= self.prepare_free and len(self.flying[unit]) < 2
        if unit == Unit.STORE:
            return not self.store_busy and len(self.flying[unit]) <= self.c.write_outstanding
        if unit == Unit.POOL:
            return not self.flying[unit]
        raise AssertionError(unit)

    def _missing(self, unit: Unit) -> list[Unit]:
        wait = self.program[self.queues[unit][0]].wait
        return [other for other in Unit if wait >> other & 1 and not self.tokens[other, unit]]

    def _count(self) -> None:
        for unit in Unit:
            self.counters[f"BUSY_{unit.name}"] += bool(self.flying[unit])
            if self.ready[unit]:
                missing = self.gate[unit]
                if missing is None:
                    self.counters[f"STALL_{unit.name}_INSTRUCTION"] += 1
                elif missing:
                    self.counters[f"STALL_{unit.name}_{missing[0].name}"] += 1

    def _units(self) -> None:
        for unit in Unit:
            for index in self.done_at.pop((unit, self.t), []):
                self._end(unit, index)
            starts = self.ready[unit] and self.gate[unit] == []
            place = self._place(unit)
            if starts:
                self._begin(unit, self.queues[unit][0])
            self._look(unit, starts, place and not starts)

    def _look(self, unit: Unit, starts: bool, ready: bool) -> None:
        """What the gate finds in this cycle, and says in the next: of the head that stays."""
        queue = self.queues[unit]
        at_head = bool(queue) and self.t >= max(self.dispatched_at[queue[0]] + 3, self.shown[unit])
        found = self._missing(unit) if at_head and not starts else None
        now = self.t

        def change() -> None:
            self.gate[unit] = found
            self.ready[unit] = ready
            if starts:
                self.shown[unit] = now + 2

        self.later(change)

    def _begin(self, unit: Unit, index: int) -> None:
        instruction = self.program[index]
        self.start[index] = self.t

        def change() -> None:
            self.queues[unit].popleft()
            self.flying[unit].append(index)
            for other in Unit:
                self.tokens[other, unit] -= instruction.wait >> other & 1

        self.later(change)
        {
            Opcode.LOAD: self._begin_load, Opcode.SETUP: self._begin_setup, Opcode.CONV: self._begin_conv,
            Opcode.POOL: self._begin_pool, Opcode.STORE: self._begin_store,
        }[instruction.opcode](instruction)  # fmt: skip

    def _done(self, unit: Unit, cycle: int) -> None:
        """The oldest instruction of a unit that has no end yet is done in a later cycle."""
        index = next(i for i in self.flying[unit] if i not in self.ended)
        self.ended.add(index)
        self.done_at[unit, cycle].append(index)

    def _end(self, unit: Unit, index: int) -> None:
        self.end[index] = self.t
        signal = self.program[index].signal

        def change() -> None:
            self.flying[unit].remove(index)
            for other in Unit:
                self.tokens[unit, other] += signal >> other & 1

        self.later(change)

    def _rows(self, address: int, rows: int, pitch: int, size: int) -> list[Burst]:
        return [n for r in range(rows) for n in bursts(self.c, address + r * pitch, size)]

    def _begin_load(self, i: Instruction) -> None:
        lengths = self._rows(i.address, i.rows, i.pitch, i.beats * self.c.derived.beat_bytes)
        entries = deque((n, k == len(lengths) - 1) for k, n in enumerate(lengths))
        self.set(load_bursts=entries, load_busy=True, load_from=self.t + 2)

    def _begin_setup(self, i: Instruction) -> None:
        self.set(setup=i, prepare_free=self.t + 1 + (128 if i.table_load else 0))  # 256 entries of 16 bits, 32 a cycle
        self.done_at[Unit.COMPUTE, self.t + 1].append(self.queues[Unit.COMPUTE][0])

    def _begin_conv(self, i: Instruction) -> None:
        assert self.setup is not None
        index = self.queues[Unit.COMPUTE][0]
        weights, mode = weight_format(self.setup.weight_format), self.setup.mode
        tags = int(i.blocks > 0)  # a beat with each block
        prepare = timing.compute_prepare(self.c, weights, bool(i.first or i.reload), mode) + 16 * i.codebook
        begin = max(self.t + prepare + tags, self.passes_end)
        depthwise = mode == Mode.DEPTHWISE
        high = 3 if depthwise and self.setup.kernel_rows > 1 and self.setup.dilation_rows == 1 else 1
        wide = {Mode.DENSE: 1, Mode.DEPTHWISE: 3, Mode.PAIRED: 2}[mode] if self.setup.dilation_columns == 1 else 1
        passes = i.input_groups * -(-self.setup.kernel_rows // high) * -(-self.setup.kernel_columns // wide)
        passes = i.blocks or passes
        positions = self._positions(i, self.setup) if high > 1 else i.out_rows * i.out_columns
        for k in range(passes):
            last = k == passes - 1
            if last:
                self.prepare_free = begin
            taken = timing.pass_cycles(self.c, weights, positions, bool(last and i.last and self.setup.wide), mode)
            taken = max(taken, tags * (max(weights.block_cycles(self.c), 4) + 1))
            self.multiplying += range(begin, begin + taken)
            begin += taken
        self.passes_end = begin
        self.done_at[Unit.COMPUTE, begin + timing.compute_latency(self.c)].append(index)

    def _positions(self, i: Instruction, setup: Instruction) -> int:
        """Rows that are read, column by column: those of three taps of each pixel, and of two that follow each other
        only one that is padding, where there is such a row at both ends."""
        count, padding = 0, False
        last = i.row_offset + (i.out_rows - 1) * setup.stride_rows + 2
        ends = i.row_offset < 0 and last >= i.in_rows and setup.kernel_rows <= 3
        for _ in range(i.out_columns):
            for row in range(i.row_offset, last + 1):
                if not (padding and row == i.row_offset):
                    count += 1
            padding = ends
        return count

    def _begin_pool(self, i: Instruction) -> None:
        index = self.queues[Unit.POOL][0]
        each = timing.pool_pixel_cycles(self.c, i.kernel_rows * i.kernel_columns, bool(i.kind), bool(i.wide))
        end = self.t + 1 + i.out_rows * i.out_columns * each + timing.pool_tail(self.c, bool(i.kind))
        self.done_at[Unit.POOL, end].append(index)

    # --- the write side

    def _begin_store(self, i: Instruction) -> None:
        size = i.words * self.c.derived.word_bytes
        lengths = [
            n for g in range(i.planes) for n in self._rows(i.address + g * i.plane_pitch, i.rows, i.row_pitch, size)
        ]
        local = i.target != Target.MEMORY
        self.counters["BYTES_WRITTEN"] += 0 if local else i.planes * i.rows * size
        entries = deque((n, k == len(lengths) - 1) for k, n in enumerate(lengths))
        now = self.queues[Unit.STORE][0]
        self.set(store_bursts=entries, store_busy=True, store_local=local, store_now=now, store_from=self.t + 2)

    def _store(self) -> None:
        if self.store_reading:
            if self.store_local or len(self.beats) < timing.STORE_AHEAD:
                left = self.store_left - 1
                last, final = left == 0, not self.store_bursts
                if not self.store_local:
                    entry = (self.t, last, final)
                    self.later(lambda: self.beats.append(entry))
                elif last and final:
                    self.store_there[self.store_now] = self.t + timing.STORE_WRITE_LATENCY
                self.set(store_left=left, store_reading=not last, store_busy=not (last and final))
        elif (
            self.store_bursts
            and self.t >= self.store_from
            and (self.store_local or self.write_outstanding < self.c.write_outstanding)
        ):
            burst, _ = self.store_bursts.popleft()
            if not self.store_local:
                self.asked["WRITE"].append((self.t + 1, burst))
                self._writing(1)
            self.set(store_left=burst[1], store_reading=True, store_from=self.t + 3)

    def _writing(self, by: int) -> None:
        def change() -> None:
            self.write_outstanding += by

        self.later(change)

    def _write_beat(self) -> None:
        if not self.beats or self.t < self.last_write + self.memory.beat_every:
            return
        read, last, final = self.beats[0]
        if self.t < read + timing.STORE_READ_LATENCY:
            return
        self.last_write = self.t
        self.later(self.beats.popleft)
        if last:
            self.last["WRITE"].append(self.t)
            cycle = self.t + self.memory.latency
            self.later(lambda: self.answers.append((cycle, final)))

    def _answer(self) -> None:
        if self.answers and self.t >= self.answers[0][0]:
            _, final = self.answers[0]
            self.later(self.answers.popleft)
            self._writing(-1)
            if final:
                mine = [k for k in self.flying[Unit.STORE] if self.program[k].target == Target.MEMORY]
                self.store_there[next(k for k in mine if k not in self.store_there)] = self.t + 1

    def _store_ends(self) -> None:
        """One instruction in a cycle, in their order."""
        waiting = [k for k in self.flying[Unit.STORE] if k not in self.ended]
        if waiting and self.store_there.get(waiting[0], self.t + 2) <= self.t + 1:
            self._done(Unit.STORE, self.t + 1)


def expected(run: Naive) -> dict[str, int]:
    """All counters by register name."""
    names = ["CYCLES", "BYTES_READ", "BYTES_WRITTEN", *(f"BUSY_{u.name}" for u in Unit)]
    names += [f"STALL_{u.name}_{c.upper()}" for u in Unit for c in STALL_CAUSES if c != u.name.lower()]
    return {name: run.counters[name] for name in names}
