"""A unit's instruction queue and the gate that holds its head until all tokens are there."""

from __future__ import annotations

from functools import cache

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import LAYOUTS, Opcode, Unit
from hw.contract.timing import QUEUE_INTERVAL, QUEUE_LATENCY
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.interfaces import NUMBERED, UNITS
from hw.gateware.memory import DualPort

if (QUEUE_LATENCY, QUEUE_INTERVAL) != (4, 3):
    raise AssertionError("memory, its output, the head and the gate take a cycle each; the next head two, and the gate")


def kept_bits(unit: Unit) -> list[int]:
    """The bits of an instruction that a unit's queue keeps: those of its opcodes' fields, but for `layer`, which is
    nobody's business in the engine, and for the unit itself in its masks, which dispatch has refused."""
    bits: set[int] = set()
    for opcode in Opcode:
        if opcode.unit == unit:
            for name, (field, offset) in LAYOUTS[opcode].items():
                own = unit if name in ("wait", "signal") else None
                bits |= {offset + i for i in range(field.bits) if name != "layer" and i != own}
    return sorted(bits)


@cache
def queue_bits(unit: Unit) -> int:
    """Width of a unit's queue: what it keeps of an instruction, and the place of that in the program."""
    return len(kept_bits(unit)) + NUMBERED["index"].width


class Queue(wiring.Component):
    """The instructions that wait at one unit; the unit front is its far side.

    They wait in block RAM.  The register at its output holds the head, and the gate's verdict is another one: what a
    unit sees has a whole cycle, and was there in the cycle before.

    Parameters: config.  unit, whose queue it is.
    Members:
        push (in): stream of instructions and their places in the program.
        instruction, index (out): the head; bits that are not the unit's are 0.
        valid (out), ready (in): the unit front: the head's tokens are there; it leaves with both.
        halt (in): nothing leaves.
        available (in): of which units there are tokens for this one.  They stay until they are taken.
        take (out): of which units a token is taken in this cycle.
        empty (out): a register shows it.
        absent (out): there was no head in the cycle before; a register.
        missing (out): of whose tokens the head then waited in vain, if there was one; a register.
    Protocol: `push` stalls when `queue_depth` instructions are waiting, even if one leaves in this cycle.  Of `valid`,
        `absent` and `missing` one says something in each cycle.  The head is shown from the cycle before `valid` on, up
        to the cycle after it left.
    Latency: what is pushed can leave QUEUE_LATENCY cycles later, and QUEUE_INTERVAL cycles after the one before it.
    """

    def __init__(self, config: AcceleratorConfig, unit: Unit) -> None:
        self.config, self.unit = config, unit
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
                "empty": Out(1, init=1),
                "absent": Out(1, init=1),
                "missing": Out(UNITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shown = Signal()  # there is a head
        leaves = Signal()
        loads = self._wait(m, shown, leaves)
        wait_field, offset = LAYOUTS[Opcode.LOAD]["wait"]
        wait = self.instruction[offset : offset + wait_field.bits]
        others = ~(1 << self.unit) & (1 << UNITS) - 1
        granted = Signal()
        staying = Signal()
        missing = Signal(UNITS)
        m.d.comb += [
            staying.eq(shown & ~leaves),
            missing.eq(Mux(staying, wait & ~self.available & others, 0)),
            self.valid.eq(granted & ~self.halt),
            leaves.eq(self.valid & self.ready),
            self.take.eq(Mux(leaves, wait & others, 0)),
        ]
        m.d.sync += [
            shown.eq(staying | loads),
            granted.eq(staying & (missing == 0)),
            self.missing.eq(missing),
            self.absent.eq(~staying),
        ]
        return m

    def _wait(self, m: Module, shown: Signal, leaves: Signal) -> Signal:
        """Instructions into the memory, and out of it into the head; returns whether there is one in the next cycle
        that is not there in this one."""
        depth, kept = self.config.queue_depth, kept_bits(self.unit)
        m.submodules.memory = memory = DualPort(queue_bits(self.unit), depth)
        pushed = Signal()
        loads = Signal()
        level = Signal(range(depth + 1))  # of all that wait, the head among them
        full = Signal()
        stored = Signal(range(depth + 1))  # in the memory alone
        present = Signal()  # the first of those is on its way into the memory's output
        head = memory.read_data
        incoming = self.push.payload
        m.d.comb += [
            pushed.eq(self.push.valid & self.push.ready),
            self.push.ready.eq(~full),
            memory.write.enable.eq(pushed),
            memory.write.data.eq(Cat(*(incoming.instruction[bit] for bit in kept), incoming.index)),
            # Not with `leaves`, which is known late: the head is hundreds of bits.
            loads.eq(present & ~shown),
            memory.take.eq(loads),
        ]
        m.d.sync += [
            memory.write.address.eq(memory.write.address + pushed),
            memory.read_address.eq(memory.read_address + loads),
            stored.eq(stored + pushed - loads),
            present.eq((stored != 0) & ~loads),  # what is written in this cycle cannot be read in it
            level.eq(level + pushed - leaves),
            full.eq(~leaves & (full | (pushed & (level == depth - 1)))),
            self.empty.eq(~pushed & (self.empty | (leaves & (level == 1)))),
        ]
        bits = {bit: head[i] for i, bit in enumerate(kept)}
        m.d.comb += [
            self.instruction.eq(Cat(bits.get(bit, Const(0, 1)) for bit in range(INSTRUCTION_BITS))),
            self.index.eq(head[len(kept) :]),
        ]
        return loads
