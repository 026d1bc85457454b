"""The engine: everything between its three ports."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.registers import ADDRESS_BITS, COUNTERS, NONE_WAITS, ErrorCause
from hw.gateware.axi_read import ReadPort
from hw.gateware.axi_write import WritePort
from hw.gateware.compute import ComputeUnit
from hw.gateware.control import FAULTS, INTERRUPTS, RunControl
from hw.gateware.counters import Counters
from hw.gateware.fetch import Dispatch, Fetch
from hw.gateware.interfaces import axi4, axi_lite
from hw.gateware.load import LoadUnit, load_tag
from hw.gateware.memory import either
from hw.gateware.pool import PoolUnit
from hw.gateware.queue import Queue
from hw.gateware.registers import Registers
from hw.gateware.store import StoreUnit
from hw.gateware.store_walk import STORE_TAG
from hw.gateware.tokens import Semaphores
from hw.gateware.watchdog import Watchdog

READ_CHANNELS, WRITE_CHANNELS = ("ar", "r"), ("aw", "w", "b")


class _Parts:
    """The engine's blocks."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.registers = Registers(config)
        self.control = RunControl()
        self.fetch = Fetch(config)
        self.dispatch = Dispatch()
        self.semaphores = Semaphores()
        self.read_port = ReadPort(config, load_tag(config))
        self.write_port = WritePort(config, STORE_TAG)
        self.counters = Counters(config)
        self.watchdog = Watchdog()
        self.load = LoadUnit(config)
        self.compute = ComputeUnit(config)
        self.pool = PoolUnit(config)
        self.store = StoreUnit(config)
        self.queues = [Queue(config, unit) for unit in Unit]
        self.fronts = [getattr(self, unit.name.lower()).front for unit in Unit]

    def cleared(self) -> Iterator[tuple[str, wiring.Component]]:
        """Names and blocks, but for registers and run control."""
        for name in ("fetch", "dispatch", "semaphores", "read_port", "write_port", "counters", "watchdog"):
            yield name, getattr(self, name)
        for unit in Unit:
            yield f"{unit.name.lower()}_queue", self.queues[unit]
        for unit in Unit:
            yield f"{unit.name.lower()}_unit", getattr(self, unit.name.lower())


class Engine(wiring.Component):
    """The accelerator.

    Parameters: config.
    Members:
        m_axi (out): AXI4 manager, the memory port.
        s_axil (in): AXI4-Lite subordinate, the registers (docs/registers.md).
        interrupt (out): high while a bit is set in both INTERRUPT and INTERRUPT_ENABLE.
    Protocol: docs/architecture.md.  One clock, one synchronous reset.
    Latency: docs/architecture.md, "Timing".
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "m_axi": Out(axi4(config.axi_bits)),
                "s_axil": In(axi_lite(ADDRESS_BITS)),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = _Parts(self.config)
        m.submodules.registers = parts.registers
        m.submodules.control = parts.control
        # What the start of a run and a reset clear: all but the registers and the run control itself.
        clear = {"sync": parts.control.clear}
        for name, block in parts.cleared():
            m.submodules[name] = ResetInserter(clear)(block)
        self._ports(m, parts)
        self._instructions(m, parts)
        self._data(m, parts)
        self._run(m, parts)
        self._watch(m, parts)
        self._registers(m, parts)
        return m

    def _ports(self, m: Module, parts: _Parts) -> None:
        """The engine's ports; both halves of the memory port see the same window."""
        connect(m, flipped(self.s_axil), parts.registers.bus)
        for member in self.m_axi.signature.members:
            port = parts.read_port if member.startswith(READ_CHANNELS) else parts.write_port
            inside, outside = getattr(port.axi, member), getattr(self.m_axi, member)
            if self.m_axi.signature.members[member].flow == Out:
                m.d.comb += outside.eq(inside)
            else:
                m.d.comb += inside.eq(outside)
        for port in (parts.read_port, parts.write_port):
            m.d.comb += [
                port.window_base.eq(parts.registers.settings.window_base.bytes),
                port.window_pages.eq(parts.registers.settings.window_limit.bytes),
                port.halt.eq(parts.control.halt),
            ]

    def _instructions(self, m: Module, parts: _Parts) -> None:
        """The way of instructions: fetch, dispatch, queues, units; and of tokens, from unit to queue."""
        fetch, dispatch, semaphores, counters = parts.fetch, parts.dispatch, parts.semaphores, parts.counters
        connect(m, fetch.request, parts.read_port.fetch)
        connect(m, fetch.instructions, dispatch.instructions)
        m.d.comb += [
            fetch.run.eq(parts.control.busy),
            fetch.block.eq(parts.registers.settings.program_base.bytes),
            fetch.length.eq(parts.registers.settings.program_length),
            fetch.beat.eq(parts.read_port.fetch_beat),
            fetch.data.eq(parts.read_port.data),
            dispatch.halt.eq(parts.control.halt),
        ]
        for unit in Unit:
            queue, front = parts.queues[unit], parts.fronts[unit]
            connect(m, dispatch.queues[unit], queue.push)
            m.d.comb += [
                queue.halt.eq(parts.control.halt),
                queue.ready.eq(front.ready),
                queue.available.eq(semaphores.available[unit]),
                semaphores.take[unit].eq(queue.take),
                semaphores.done[unit].eq(front.done),
                semaphores.signal[unit].eq(front.signal),
                front.instruction.eq(queue.instruction),
                front.valid.eq(queue.valid),
                counters.active[unit].eq(front.in_flight != 0),
                counters.waiting[unit].eq(front.ready),
                counters.absent[unit].eq(queue.absent),
                counters.missing[unit].eq(queue.missing),
            ]

    def _data(self, m: Module, parts: _Parts) -> None:
        """The way of data: read port, load, buffers, compute, pool, store, write port; and back on the chip."""
        read_port, write_port, load, store = parts.read_port, parts.write_port, parts.load, parts.store
        connect(m, load.request, read_port.load)
        connect(m, store.request, write_port.request)
        connect(m, load.weight_write, parts.compute.weight_write)
        either(m, load.activation_write, store.activation_write, parts.compute.activation_write)
        either(m, load.residual_write, store.residual_write, parts.compute.residual_write)
        connect(m, parts.compute.output_write, store.output_write)
        connect(m, parts.compute.pool_write, parts.pool.pool_write)
        connect(m, parts.pool.pooled_write, store.pooled_write)
        m.d.comb += [
            load.beat.eq(read_port.load_beat),
            load.last.eq(read_port.last),
            load.data.eq(read_port.data),
            load.tag.eq(read_port.tag),
            write_port.push.eq(store.push),
            write_port.beat.eq(store.beat),
            store.sent.eq(write_port.sent),
            store.answered.eq(write_port.answered),
            store.tag.eq(write_port.tag),
        ]

    def _run(self, m: Module, parts: _Parts) -> None:
        """When a run starts and ends, and what goes wrong in it; `_watch` tells of runs that do not end.

        A unit says `illegal` up to three cycles after it took the instruction; it has taken no other since, so a
        register of the place of the last one names it.
        """
        control, commands = parts.control, parts.registers.commands
        faults = dict(zip(FAULTS, control.faults, strict=True))
        m.d.comb += [
            control.start.eq(commands.control.start),
            control.reset.eq(commands.control.reset),
            control.quiet.eq((parts.read_port.outstanding == 0) & (parts.write_port.outstanding == 0)),
            control.finished.eq(
                parts.fetch.drained
                & Cat(queue.empty for queue in parts.queues).all()
                & Cat(front.in_flight == 0 for front in parts.fronts).all()
                & control.quiet
            ),
            faults[ErrorCause.READ_BUS].eq(parts.read_port.bus),
            faults[ErrorCause.WRITE_BUS].eq(parts.write_port.bus),
            faults[ErrorCause.ILLEGAL_INSTRUCTION].eq(parts.dispatch.illegal),
            faults[ErrorCause.OUTSIDE_WINDOW].eq(parts.read_port.outside),
            faults[ErrorCause.TOKEN_OVERFLOW].valid.eq(parts.semaphores.overflow),
        ]
        illegal = faults[ErrorCause.ILLEGAL_INSTRUCTION]
        for unit, queue, front in zip(Unit, parts.queues, parts.fronts, strict=True):
            taken = Signal.like(queue.index, name=f"{unit.name.lower()}_taken")
            with m.If(queue.valid & queue.ready):
                m.d.sync += taken.eq(queue.index)
            with m.If(front.illegal):
                m.d.comb += [illegal.valid.eq(1), illegal.address.eq(taken)]
        with m.If(parts.write_port.outside.valid):
            m.d.comb += faults[ErrorCause.OUTSIDE_WINDOW].eq(parts.write_port.outside)

    def _watch(self, m: Module, parts: _Parts) -> None:
        """What moves, and who waits where nothing does.

        Compute and pool need nobody in order to end what they began, load and store need the memory, but for what store
        writes on the chip.
        """
        watchdog, axi = parts.watchdog, self.m_axi
        moves = [getattr(axi, f"{name}valid") & getattr(axi, f"{name}ready") for name in READ_CHANNELS + WRITE_CHANNELS]
        moves += [port.enable for port in (parts.store.activation_write, parts.store.residual_write)]
        moves += [parts.fronts[unit].in_flight != 0 for unit in (Unit.COMPUTE, Unit.POOL)]
        m.d.comb += [
            watchdog.run.eq(parts.control.busy),
            watchdog.limit.eq(parts.registers.settings.watchdog),
            watchdog.moved.eq(Cat(moves).any()),
        ]
        # Where nothing moves it does not change either, so a register keeps the queues' heads out of the way.
        fault = parts.control.faults[FAULTS.index(ErrorCause.WATCHDOG)]
        blame = Signal.like(fault.address)
        m.d.sync += blame.eq(NONE_WAITS)
        with m.If(parts.control.quiet):
            for queue in reversed(parts.queues):
                with m.If(queue.missing != 0):
                    m.d.sync += blame.eq(queue.index)
        m.d.comb += [fault.valid.eq(watchdog.expired), fault.address.eq(blame)]

    def _registers(self, m: Module, parts: _Parts) -> None:
        """What the registers show, and the interrupt."""
        registers, control, counters = parts.registers, parts.control, parts.counters
        values = registers.values
        m.d.comb += [
            values.status.busy.eq(control.busy),
            values.status.done.eq(control.done),
            values.status.error.eq(control.error),
            values.error_cause.cause.eq(control.cause),
            values.error_address.eq(control.address),
            counters.busy.eq(control.busy),
            counters.halted.eq(control.halt),
            counters.read.eq(parts.read_port.fetch_beat | parts.read_port.load_beat),
            counters.strobed.eq(parts.store.strobed),
        ]
        raised = []
        for name in INTERRUPTS.members:
            raised.append(control.interrupts[name] & registers.settings.interrupt_enable[name])
            m.d.comb += [
                values.interrupt[name].eq(control.interrupts[name]),
                control.acknowledge[name].eq(registers.commands.interrupt[name]),
            ]
        m.d.comb += self.interrupt.eq(Cat(raised).any())
        for name in COUNTERS:
            m.d.comb += values[name.lower()].eq(counters.values[name.lower()])
