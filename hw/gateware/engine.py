"""The engine: everything between its three ports."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract import registers as contract
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.gateware.axi_read import ReadPort
from hw.gateware.axi_write import WritePort
from hw.gateware.compute import Compute
from hw.gateware.control import RunControl
from hw.gateware.counters import COUNTERS, Counters
from hw.gateware.fetch import BLOCK_BITS, Dispatch, Fetch
from hw.gateware.interfaces import PAGE_BITS, axi4, axi_lite
from hw.gateware.load import Load, load_tag
from hw.gateware.pool import Pool
from hw.gateware.queue import Queue
from hw.gateware.registers import Registers
from hw.gateware.store import STORE_TAG, Store
from hw.gateware.tokens import Semaphores

READ_CHANNELS, WRITE_CHANNELS = ("ar", "r"), ("aw", "w", "b")


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
                "s_axil": In(axi_lite(contract.ADDRESS_BITS)),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.registers = registers = Registers(config)
        m.submodules.control = control = RunControl()
        # What the start of a run and a reset clear.
        clear = {"sync": control.clear}
        fetch, dispatch, semaphores = Fetch(config), Dispatch(), Semaphores()
        read_port, write_port = ReadPort(config, load_tag(config)), WritePort(config, STORE_TAG)
        load, compute, pool, store = Load(config), Compute(config), Pool(config), Store(config)
        units: tuple[Any, ...] = (load, compute, pool, store)
        queues = [Queue(config) for _ in Unit]
        counters = Counters(config)
        for name, block in (
            ("fetch", fetch),
            ("dispatch", dispatch),
            ("semaphores", semaphores),
            ("read_port", read_port),
            ("write_port", write_port),
            ("counters", counters),
            *((f"{unit.name.lower()}_queue", queues[unit]) for unit in Unit),
            *((f"{unit.name.lower()}_unit", units[unit]) for unit in Unit),
        ):
            m.submodules[name] = ResetInserter(clear)(block)

        # Ports.
        connect(m, flipped(self.s_axil), registers.bus)
        for member in self.m_axi.signature.members:
            port = read_port if member.startswith(READ_CHANNELS) else write_port
            inside, outside = getattr(port.axi, member), getattr(self.m_axi, member)
            if self.m_axi.signature.members[member].flow == Out:
                m.d.comb += outside.eq(inside)
            else:
                m.d.comb += inside.eq(outside)
        for port in (read_port, write_port):
            m.d.comb += [
                port.window_base.eq(registers.settings.window_base[PAGE_BITS:]),
                port.window_pages.eq(registers.settings.window_limit[PAGE_BITS:]),
                port.halt.eq(control.halt),
            ]

        # Instructions.
        connect(m, fetch.request, read_port.fetch)
        connect(m, fetch.instructions, dispatch.instructions)
        m.d.comb += [
            fetch.run.eq(control.busy),
            fetch.block.eq(registers.settings.program_base[BLOCK_BITS:]),
            fetch.length.eq(registers.settings.program_length),
            fetch.beat.eq(read_port.fetch_beat),
            fetch.data.eq(read_port.data),
            dispatch.halt.eq(control.halt),
        ]
        taken = Signal.like(queues[0].index)  # place of the illegal instruction
        illegal = Signal()
        for unit, block, queue in zip(Unit, units, queues, strict=True):
            connect(m, dispatch.queues[unit], queue.push)
            last_taken = Signal(32, name=f"{unit.name.lower()}_taken")
            m.d.comb += [
                queue.halt.eq(control.halt),
                queue.ready.eq(block.ready),
                queue.available.eq(semaphores.available[unit]),
                semaphores.take[unit].eq(queue.take),
                semaphores.done[unit].eq(block.done),
                semaphores.signal[unit].eq(block.signal),
                block.instruction.eq(queue.instruction),
                block.valid.eq(queue.valid),
                counters.active[unit].eq(block.in_flight != 0),
                counters.waiting[unit].eq(block.ready),
                counters.empty[unit].eq(queue.empty),
                counters.missing[unit].eq(queue.missing),
            ]
            with m.If(queue.valid & queue.ready):
                m.d.sync += last_taken.eq(queue.index)
            with m.If(block.illegal):
                m.d.comb += [illegal.eq(1), taken.eq(last_taken)]

        # Data.
        connect(m, load.request, read_port.load)
        connect(m, store.request, write_port.request)
        connect(m, load.activation_write, compute.activation_write)
        connect(m, load.weight_write, compute.weight_write)
        connect(m, load.residual_write, compute.residual_write)
        connect(m, compute.output_write, store.output_write)
        connect(m, compute.pool_write, pool.pool_write)
        connect(m, pool.pooled_write, store.pooled_write)
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

        # Start, stop, errors.
        read_bus, write_bus, illegal_instruction, outside_window = control.faults
        m.d.comb += [
            control.start.eq(registers.commands.control[0]),
            control.reset.eq(registers.commands.control[1]),
            control.quiet.eq((read_port.outstanding == 0) & (write_port.outstanding == 0)),
            control.finished.eq(
                fetch.drained
                & Cat(queue.empty for queue in queues).all()
                & Cat(block.in_flight == 0 for block in units).all()
                & control.quiet
            ),
            read_bus.eq(read_port.bus),
            write_bus.eq(write_port.bus),
            illegal_instruction.eq(dispatch.illegal),
            outside_window.eq(read_port.outside),
        ]
        with m.If(illegal):
            m.d.comb += [illegal_instruction.valid.eq(1), illegal_instruction.address.eq(taken)]
        with m.If(write_port.outside.valid):
            m.d.comb += outside_window.eq(write_port.outside)

        # What the registers show.
        m.d.comb += [
            registers.values.status.eq(Cat(control.busy, control.done, control.error)),
            registers.values.interrupt.eq(control.interrupts),
            registers.values.error_cause.eq(control.cause),
            registers.values.error_address.eq(control.address),
            control.acknowledge.eq(registers.commands.interrupt),
            self.interrupt.eq((control.interrupts & registers.settings.interrupt_enable) != 0),
            counters.busy.eq(control.busy),
            counters.halted.eq(control.halt),
            counters.read.eq(read_port.fetch_beat | read_port.load_beat),
            counters.strobed.eq(store.strobed),
        ]
        for name in COUNTERS:
            m.d.comb += registers.values[name.lower()].eq(counters.values[name.lower()])
        return m
