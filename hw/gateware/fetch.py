"""Fetching instructions and handing them to the units' queues."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import LAYOUTS, Opcode
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.interfaces import ADDRESS_BITS, FAULT, NO_TAG, NUMBERED, UNITS, burst_request

BLOCK_BITS = (FETCH_BURST * INSTRUCTION_BYTES).bit_length() - 1
"""Bits of a byte address within a whole burst of instructions."""


class Fetch(wiring.Component):
    """Reads the program's instructions in order, `fetch_depth` of them ahead.

    Parameters: config.
    Members:
        run (in): from a reset on, the first cycle with it is cycle 0 of a run; stays 1 to the run's end.
        block (in): where the program begins in the memory window, in bursts of FETCH_BURST instructions.
        length (in): its number of instructions.  Both stable in cycle 0.
        request (out): stream of burst requests.
        beat, data (in): a beat of such a burst.
        instructions (out): stream of the instructions and their places in the program.
        drained (out): every instruction has left; a register from cycle 1 of a run on, 0 before.
    Protocol: both streams stall; beats are never refused.
    Latency: see docs/architecture.md, "Fetch": an instruction is on the stream in the cycle after its last
        beat.  An instruction takes `instruction_beats` cycles to arrive.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "run": In(1),
                "block": In(ADDRESS_BITS - BLOCK_BITS),
                "length": In(32),
                "request": Out(stream.Signature(burst_request(NO_TAG))),
                "beat": In(1),
                "data": In(config.axi_bits),
                "instructions": Out(stream.Signature(NUMBERED)),
                "drained": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats, depth = self.config.derived.instruction_beats, self.config.fetch_depth
        begun = Signal()
        block = Signal.like(self.block)
        to_request = Signal(32)
        index = Signal(32)
        space = Signal(range(depth + 1), init=depth)  # places neither occupied nor awaited
        awaited = Signal(range(depth + 1))  # requested and not arrived
        count = Signal(range(FETCH_BURST + 1))

        accepted = Signal()
        arrived = Signal()
        left = Signal()
        m.submodules.buffer = buffer = SyncFIFO(width=INSTRUCTION_BITS, depth=depth)
        m.d.comb += [
            count.eq(Mux(to_request < FETCH_BURST, to_request, FETCH_BURST)),
            self.request.valid.eq((to_request != 0) & (space >= count)),
            self.request.payload.offset[BLOCK_BITS:].eq(block),
            self.request.payload.beats.eq(count * beats),
            accepted.eq(self.request.valid & self.request.ready),
            left.eq(self.instructions.valid & self.instructions.ready),
            self.instructions.valid.eq(buffer.r_rdy),
            self.instructions.payload.instruction.eq(buffer.r_data),
            self.instructions.payload.index.eq(index),
            buffer.r_en.eq(self.instructions.ready),
            self.drained.eq(begun & (to_request == 0) & (awaited == 0) & ~buffer.r_rdy),
        ]

        with m.If(self.run & ~begun):
            m.d.sync += [begun.eq(1), block.eq(self.block), to_request.eq(self.length), index.eq(0)]
        with m.If(accepted):
            m.d.sync += [block.eq(block + 1), to_request.eq(to_request - count)]
        with m.If(left):
            m.d.sync += index.eq(index + 1)
        requested = Mux(accepted, count, 0)
        m.d.sync += [space.eq(space - requested + left), awaited.eq(awaited + requested - arrived)]

        if beats == 1:
            m.d.comb += [arrived.eq(self.beat), buffer.w_data.eq(self.data)]
        else:
            earlier = Signal((beats - 1) * self.config.axi_bits)  # beats of the instruction that arrives
            number = Signal(range(beats))
            m.d.comb += [
                arrived.eq(self.beat & (number == beats - 1)),
                buffer.w_data.eq(Cat(earlier, self.data)),
            ]
            with m.If(self.beat):
                m.d.sync += [
                    earlier.eq(Cat(earlier, self.data)[self.config.axi_bits :]),
                    number.eq(number + 1),  # wraps, a power of two
                ]
        m.d.comb += buffer.w_en.eq(arrived)
        return m


class Dispatch(wiring.Component):
    """Gives each instruction to its unit's queue.

    Parameters: none.
    Members:
        instructions (in): stream of the program.
        queues (out): a stream for each unit.
        halt (in): nothing moves.
        illegal (out): the next instruction has no known opcode, and its place; it does not move.
    Protocol: streams stall: an instruction waits for a place in its queue, and those after it wait with it.
    Latency: none, it passes in its cycle; an instruction a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "instructions": In(stream.Signature(NUMBERED)),
                "queues": Out(stream.Signature(NUMBERED)).array(UNITS),
                "halt": In(1),
                "illegal": Out(FAULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        incoming = self.instructions.payload
        opcode_field, offset = LAYOUTS[Opcode.LOAD]["opcode"]
        opcode = incoming.instruction[offset : offset + opcode_field.bits]
        target = Signal(UNITS)
        with m.Switch(opcode):
            for known in Opcode:
                with m.Case(known):
                    m.d.comb += target.eq(1 << known.unit)
        offered = self.instructions.valid & ~self.halt
        for unit, queue in enumerate(self.queues):
            m.d.comb += [
                queue.valid.eq(offered & target[unit]),
                queue.payload.eq(incoming),
            ]
        m.d.comb += [
            self.instructions.ready.eq((target & Cat(q.ready for q in self.queues)).any() & ~self.halt),
            self.illegal.valid.eq(offered & (target == 0)),
            self.illegal.address.eq(incoming.index),
        ]
        return m
