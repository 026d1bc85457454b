"""Start, stop, errors and interrupts."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.registers import BY_NAME, ErrorCause
from hw.gateware.interfaces import ADDRESS_BITS, FAULT

FAULTS = (
    ErrorCause.READ_BUS,
    ErrorCause.WRITE_BUS,
    ErrorCause.ILLEGAL_INSTRUCTION,
    ErrorCause.OUTSIDE_WINDOW,
    ErrorCause.TOKEN_OVERFLOW,
    ErrorCause.WATCHDOG,
)
"""Errors that stop the engine; of several in one cycle, the first of these is recorded."""

INTERRUPTS = data.StructLayout({field.name: field.width for field in BY_NAME["INTERRUPT"].fields})
"""The bits of INTERRUPT."""


class RunControl(wiring.Component):
    """Whether the engine runs, and how a run ends.

    A run ends when it is `finished`.  An error halts it: from the next cycle on no burst is accepted and no
    instruction starts; it ends when the bursts under way are completed, or the watchdog has found that they will not
    be.  A reset halts it, too, and clears everything when they are.  A start during a run does not disturb it, and is
    recorded as an error when it ends.

    Parameters: none.
    Members:
        start, reset (in): pulses; a start is ignored in an error state, and with or before a pending reset.
        finished (in): there is nothing left to do.  quiet (in): no burst is under way.  Registers show both.
        faults (in): errors of this cycle, in the order of FAULTS.
        clear (out): a pulse: all units return to their reset state; a register.
        busy (out): STATUS.busy; the cycle in which it rises, after `clear`, is the run's cycle 0.
        halt (out): accept no burst, start no instruction.  It stays after an error until the reset.
        done, error, cause, address (out): of the last run.
        interrupts (out): INTERRUPT's bits.  acknowledge (in): bits of it to clear.
    Protocol: none; obeys every cycle.
    Latency: busy rises two cycles after `start`, falls two cycles after the first with `finished`.  An error halts in
        the next cycle; which one it was is shown two cycles later.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "reset": In(1),
                "finished": In(1),
                "quiet": In(1),
                "faults": In(FAULT).array(len(FAULTS)),
                "clear": Out(1),
                "busy": Out(1),
                "halt": Out(1),
                "done": Out(1),
                "error": Out(1),
                "cause": Out(ErrorCause),
                "address": Out(ADDRESS_BITS),
                "interrupts": Out(INTERRUPTS),
                "acknowledge": In(INTERRUPTS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        failed = Signal()  # an error has halted the run
        resetting = Signal()
        late = Signal()  # there was a start during the run; an error, which only a reset ends
        begin = Signal()
        starting = Signal()  # the units are cleared for a run that begins in the next cycle
        over = Signal()  # finished
        complete = Signal()
        stop = Signal()
        wipe = Signal()  # they are cleared for good
        fault = Signal()
        tardy = late | (self.start & (self.busy | starting))
        m.d.comb += [
            fault.eq(Cat(f.valid for f in self.faults).any()),
            begin.eq(self.start & ~self.reset & ~self.busy & ~starting & ~self.error & ~resetting),
            complete.eq(self.busy & ~self.halt & ~fault & over),
            # A reset ends a run, too, with the wipe.
            stop.eq(
                self.busy & failed & ((self.quiet & ~resetting) | self.faults[FAULTS.index(ErrorCause.WATCHDOG)].valid)
            ),
        ]
        # A register clears the units: what it drives is all over the engine, and takes a cycle to reach.
        m.d.sync += [
            starting.eq(begin),
            over.eq(self.finished & self.busy),
            wipe.eq(resetting & self.quiet & ~wipe),
            self.clear.eq(begin | (resetting & self.quiet & ~wipe)),
        ]

        with m.If(starting):
            m.d.sync += [self.busy.eq(1), self.done.eq(0)]
        m.d.sync += late.eq(tardy)
        with m.If(fault & self.busy & ~failed):
            m.d.sync += failed.eq(1)
        # Which error it was has time, so the choice has a cycle of its own; then it is one of all, without an order.
        seen = Signal(len(FAULTS))
        first = Signal(len(FAULTS))
        cause, place = Const(0), Const(0)
        for i, (which, f) in enumerate(zip(FAULTS, self.faults, strict=True)):
            address = Signal.like(f.address, name=f"address_{i}", reset_less=True)
            m.d.sync += [
                seen[i].eq(f.valid & self.busy & ~failed & ~wipe),
                first[i].eq(seen[i] & ~seen[:i].any() & ~wipe),
            ]
            with m.If(~failed):
                m.d.sync += address.eq(f.address)
            cause, place = cause | Mux(first[i], which.value, 0), place | Mux(first[i], address, 0)
        with m.If(first.any()):
            m.d.sync += [self.cause.eq(cause), self.address.eq(place)]
        with m.If(complete):
            m.d.sync += [self.busy.eq(0), self.done.eq(1), self.error.eq(tardy)]
            with m.If(tardy):
                m.d.sync += [self.cause.eq(ErrorCause.START_WHILE_BUSY), self.address.eq(0)]
        with m.If(stop):
            m.d.sync += [self.busy.eq(0), self.error.eq(1)]
        for name, happened in (("done", complete), ("error", stop | (complete & tardy))):
            bit, acknowledged = self.interrupts[name], self.acknowledge[name]
            m.d.sync += bit.eq((bit & ~acknowledged) | happened)
        with m.If(wipe):
            m.d.sync += [
                self.busy.eq(0),
                self.done.eq(0),
                self.error.eq(0),
                self.cause.eq(ErrorCause.NONE),
                self.address.eq(0),
                self.interrupts.eq(0),
                failed.eq(0),
                late.eq(0),
            ]
        m.d.sync += [
            resetting.eq(Mux(self.reset, 1, resetting & ~wipe)),
            # It stands before every start of an instruction, so it is not put together from these two then.
            self.halt.eq(Mux(wipe, self.reset, failed | (fault & self.busy) | resetting | self.reset)),
        ]
        return m
