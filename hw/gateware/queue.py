"""A unit's instruction queue and the gate that holds its head until all tokens are there."""

from __future__ import annotations

from amaranth import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import LAYOUTS, Opcode
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.interfaces import NUMBERED, UNITS


class Queue(wiring.Component):
    """The instructions that wait at one unit; the unit front is its far side.

    Parameters: config.
    Members:
        push (in): stream of instructions and their places in the program.
        instruction, index (out): the head.
        valid (out), ready (in): the unit front: the head's tokens are there; it leaves with both.
        halt (in): nothing leaves.
        available (in): of which units there are tokens for this one.
        take (out): of which units a token is taken in this cycle.
        empty (out): a register shows it.
        missing (out): units of whose tokens the head waits in vain; 0 when empty.
    Protocol: `push` stalls when `queue_depth` instructions are waiting, even if one leaves in this cycle.
    Latency: what is pushed can leave in the next cycle; an instruction a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "push": In(stream.Signature(NUMBERED)),
                "instruction": Out(INSTRUCTION_BITS),
                "index": Out(32),
                "valid": Out(1),
                "ready": In(1),
                "halt": In(1),
                "available": In(UNITS),
                "take": Out(UNITS),
                "empty": Out(1),
                "missing": Out(UNITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.waiting = waiting = SyncFIFO(width=NUMBERED.size, depth=self.config.queue_depth)
        head = data.View(NUMBERED, waiting.r_data)
        wait_field, offset = LAYOUTS[Opcode.LOAD]["wait"]
        wait = head.instruction[offset : offset + wait_field.bits]
        m.d.comb += [
            waiting.w_data.eq(self.push.payload),
            waiting.w_en.eq(self.push.valid),
            self.push.ready.eq(waiting.w_rdy),
            self.instruction.eq(head.instruction),
            self.index.eq(head.index),
            self.empty.eq(~waiting.r_rdy),
            self.missing.eq(Mux(waiting.r_rdy, wait & ~self.available, 0)),
            self.valid.eq(waiting.r_rdy & (self.missing == 0) & ~self.halt),
            waiting.r_en.eq(self.valid & self.ready),
            self.take.eq(Mux(self.valid & self.ready, wait, 0)),
        ]
        return m
