"""The ends of the store unit's instructions."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.timing import stores_in_flight
from hw.gateware.interfaces import UNITS


class StoreEnds(wiring.Component):
    """Tells of ends in the order of the instructions, whatever the order in which memory and buffers have their data.

    Parameters: config.
    Members:
        begin, signal, local (in): an instruction begins; whom it signals; whether it writes a buffer on the chip.
        answered, written (in): memory, a buffer has all data of the next instruction that writes it.
        done, done_signal (out): the oldest instruction ended, and whom it signals; registers.
        in_flight (out): instructions begun and not done; a register.  full (out): no other may begin.
    Protocol: `begin` only while not `full`.
    Latency: `done` comes in the cycle after the last of: its data are there; the instruction before it is done.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.most = stores_in_flight(config) + 1
        super().__init__(
            {
                "begin": In(1),
                "signal": In(UNITS),
                "local": In(1),
                "answered": In(1),
                "written": In(1),
                "done": Out(1),
                "done_signal": Out(UNITS),
                "in_flight": Out(range(self.most + 1)),
                "full": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entry = data.StructLayout({"local": 1, "signal": UNITS})
        m.submodules.underway = underway = SyncFIFO(width=entry.size, depth=self.most)
        head, incoming = data.View(entry, underway.r_data), Signal(entry)
        ends = {}
        for local, there in enumerate((self.answered, self.written)):
            left = Signal(range(self.most + 1), name=f"{'written' if local else 'answered'}_left")
            ends[local] = there | (left != 0)
            m.d.sync += left.eq(left + there - (underway.r_en & (head.local == local)))
        m.d.comb += [
            incoming.local.eq(self.local),
            incoming.signal.eq(self.signal),
            underway.w_en.eq(self.begin),
            underway.w_data.eq(incoming),
            underway.r_en.eq(underway.r_rdy & Mux(head.local, ends[1], ends[0])),
            self.full.eq(self.in_flight == self.most),
        ]
        m.d.sync += [
            self.done.eq(underway.r_en),
            self.done_signal.eq(head.signal),
            self.in_flight.eq(self.in_flight + self.begin - self.done),
        ]
        return m
