"""The four units as recurrences: from the start of an instruction to its end and to the next possible start."""

from __future__ import annotations

from array import array
from typing import Protocol, TypeVar

from hw.contract import timing
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import (
    ConvInstruction,
    Instruction,
    LoadInstruction,
    PoolInstruction,
    PoolKind,
    SetupInstruction,
    StoreInstruction,
    Target,
)
from hw.contract.memory import NEVER
from hw.contract.weights import gateware_format, weight_format
from sim.cycles.bursts import ReadTimes, WriteTimes, load_bursts, read_at_once, store_bursts
from sim.taps import group_passes

J = TypeVar("J", bound=Instruction, contravariant=True)


class Recurrence(Protocol[J]):
    """A unit in time.

    ready: the first cycle in which the next instruction can start, None while that is not known.
    """

    ready: int | None

    def begin(self, instruction: J, start: int) -> int | None:
        """Start an instruction in a cycle; returns the cycle in which it is done, None while that is not known."""


class LoadTimes:
    """The times of LOAD.  Its bursts compete with the fetch for the read port, so that the scheduler issues them."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.ready: int | None = 0
        self.bursts: list[int] = []
        """Lengths of the bursts of the instruction in the front."""
        self.issued = 0
        """How many of them the port has taken."""
        self.offered = 0
        """The cycle in which the next one is offered."""

    def begin(self, instruction: LoadInstruction, start: int) -> int | None:
        """As Recurrence."""
        self.bursts, self.issued = load_bursts(self.config, instruction), 0
        self.offered, self.ready = start + timing.REQUEST_LATENCY, None
        return None

    def issue(self, port: ReadTimes, before: int | None) -> int | None:
        """Have bursts taken, until the fetch takes the port: it has a request from cycle `before` on, None for no
        request.  Returns the cycle in which the instruction is done, None where bursts are left."""
        for number in range(self.issued, len(self.bursts)):
            free = port.free
            cycle = max(free, self.offered)
            if before is not None and before <= cycle:
                self.issued = number
                return None
            last = port.take(cycle, self.bursts[number])
            self.offered = cycle + timing.REQUEST_LATENCY
        self.bursts, self.ready = [], cycle + 1 + timing.FRONT_LATENCY
        return last + 1

    def issued_one(self, cycle: int) -> bool:
        """The port took the next burst in a cycle.  Returns whether it was the instruction's last one."""
        self.issued, self.offered = self.issued + 1, cycle + timing.REQUEST_LATENCY
        if self.issued < len(self.bursts):
            return False
        self.bursts, self.ready = [], cycle + 1 + timing.FRONT_LATENCY
        return True


class ComputeTimes:
    """The times of SETUP and CONV."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.ready: int | None = 0
        self.passes = array("q")
        """Of each instruction, the cycles of its passes: from, and up to, not included; none of a SETUP."""
        self._setup, self._group_passes = SetupInstruction(), 1
        self._weights = gateware_format(config)
        self._passes_end = 0
        self._done = (NEVER, NEVER)  # the latest two, later one last

    def begin(self, instruction: SetupInstruction | ConvInstruction, start: int) -> int | None:
        """As Recurrence."""
        if isinstance(instruction, SetupInstruction):
            self._setup, self._group_passes = instruction, group_passes(instruction)
            self._weights = weight_format(instruction.weight_format)
            prepared, done = start + 1 + instruction.table_load * timing.table_cycles(self.config), start + 1
            self.passes.extend((done, done))
        else:
            prepared, done = self._conv(instruction, start)
        earlier, later = self._done
        self._done = (max(earlier, min(later, done)), max(later, done))
        self.ready = max(prepared, self._done[0] + 1) + timing.FRONT_LATENCY
        return done

    def _conv(self, conv: ConvInstruction, start: int) -> tuple[int, int]:
        """The cycle in which `prepare` is empty again, and that in which the instruction is done."""
        setup = self._setup
        parameters, listed, codebook = bool(conv.first or conv.reload), conv.blocks > 0, bool(conv.codebook)
        second = bool(conv.second)
        prepare = timing.compute_prepare(self.config, self._weights, parameters, setup.mode, listed, codebook, second)
        first = max(start + prepare, self._passes_end)
        passes = conv.blocks or max(1, conv.input_groups * self._group_passes)
        positions = timing.pass_positions(setup, conv)
        before, last = timing.compute_passes(
            self.config, self._weights, passes, positions, bool(conv.last), bool(setup.wide), setup.mode, listed
        )
        self._passes_end = first + before + last
        self.passes.extend((first, self._passes_end))
        return first + before, self._passes_end + timing.compute_latency(self.config)


class PoolTimes:
    """The times of POOL."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.ready: int | None = 0

    def begin(self, instruction: PoolInstruction, start: int) -> int | None:
        """As Recurrence."""
        i, average = instruction, instruction.kind == PoolKind.AVERAGE
        each = timing.pool_pixel_cycles(self.config, i.kernel_rows * i.kernel_columns, average, bool(i.wide))
        done = start + 1 + i.out_rows * i.out_columns * each + timing.pool_tail(self.config, average)
        self.ready = done + 1 + timing.FRONT_LATENCY
        return done


class StoreTimes:
    """The times of STORE, with those of the write port, which it has to itself."""

    def __init__(self, config: AcceleratorConfig, port: WriteTimes) -> None:
        self.config, self.port = config, port
        self.ready: int | None = 0
        self._done = [NEVER] * (timing.stores_in_flight(config) + 1)  # the latest, oldest first

    def begin(self, instruction: StoreInstruction, start: int) -> int | None:
        """As Recurrence."""
        offered = start + timing.REQUEST_LATENCY
        for beats in store_bursts(self.config, instruction):
            if instruction.target == Target.MEMORY:
                accepted, last_read, response = self.port.send(offered, beats)
                there = response + 1
            else:
                accepted, last_read = offered, read_at_once(offered, beats)
                there = last_read + timing.STORE_WRITE_LATENCY
            offered = max(last_read + 1, accepted + timing.STORE_REQUEST_INTERVAL)
        done = max(there, self._done[-1] + 1)
        self._done = [*self._done[1:], done]
        self.ready = max(last_read, self._done[0]) + 1 + timing.FRONT_LATENCY
        return done
