"""Fetching instructions and handing them to the units' queues."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import Opcode
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.interfaces import ADDRESS_BITS, FAULT, NO_TAG, NUMBERED, UNITS, burst_request

BLOCK_BITS = (FETCH_BURST * INSTRUCTION_BYTES).bit_length() - 1
"""Bits of a byte address within FETCH_BURST instructions."""
_HEADER = fields(Opcode.LOAD)
"""Any opcode's: what is read of it here is common to all."""
ADDRESSED = data.StructLayout({"numbered": NUMBERED, "unit": UNITS})
"""An instruction, its place in the program, and a bit for its unit; none where it has no known opcode, or its unit's
own bit in `wait` or `signal`."""


def _address(m: Module, instruction: Value) -> Signal:
    """The bit for an instruction's unit, see ADDRESSED."""
    header = data.View(_HEADER, instruction)
    own = header.wait | header.signal
    unit = Signal(UNITS)
    with m.Switch(header.opcode):
        for known in Opcode:
            with m.Case(known):
                m.d.comb += unit[known.unit].eq(~own[known.unit])
    return unit


class Fetch(wiring.Component):
    """Reads the program's instructions in order, `fetch_depth` of them ahead.

    Parameters: config.
    Members:
        run (in): from a reset on, the first cycle with it is cycle 0 of a run; stays 1 to the run's end.
        block (in): where the program begins in the memory window, in blocks of FETCH_BURST instructions.
        length (in): its number of instructions.  Both stable in cycle 0.
        request (out): stream of burst requests.
        beat, data (in): a beat of such a burst.
        instructions (out): stream of the instructions, their places in the program and their units.
        drained (out): every instruction has left; a register from cycle 1 of a run on, 0 before.
    Protocol: both streams stall; beats are never refused.
    Latency: see docs/architecture.md, "Fetch": an instruction is on the stream DISPATCH_LATENCY cycles after its last
        beat, and DISPATCH_INTERVAL cycles after the one before left.  An instruction takes `instruction_beats` cycles
        to arrive.
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
                "instructions": Out(stream.Signature(ADDRESSED)),
                "drained": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = SyncFIFO(width=INSTRUCTION_BITS, depth=self.config.fetch_depth)
        begun = Signal()
        begins = Signal()  # this is cycle 0
        m.d.comb += begins.eq(self.run & ~begun)
        with m.If(begins):
            m.d.sync += begun.eq(1)
        arrived = self._collect(m, buffer)
        left = self._hand_on(m, buffer, begins)
        all_here = self._ask(m, begins, arrived, left)
        m.d.comb += self.drained.eq(begun & all_here & ~buffer.r_rdy & ~self.instructions.valid)
        return m

    def _ask(self, m: Module, begins: Signal, arrived: Signal, left: Signal) -> Value:
        """Bursts of instructions, whenever there is room for the next one; returns whether no instruction is left to
        ask for or to arrive."""
        depth = self.config.fetch_depth
        most = self.config.derived.fetch_burst
        at_bits = exact_log2(most * INSTRUCTION_BYTES)  # of a byte address within a burst
        block = Signal(ADDRESS_BITS - at_bits, reset_less=True)
        # Bursts left, and whether they are one or two: so it is known what comes after the next one.
        bursts = Signal(len(self.length) - exact_log2(most) + 1, reset_less=True)
        last = Signal(reset_less=True)
        second = Signal(reset_less=True)
        count = Signal(range(most + 1))  # instructions of the next burst
        of_last = Signal.like(count, reset_less=True)
        space = Signal(range(depth + 1), init=depth)  # places neither occupied nor awaited
        awaited = Signal(range(depth + 1))  # requested and not arrived
        asks = Signal()
        accepted = Signal()
        whole, rest = self.length[exact_log2(most) :], self.length[: exact_log2(most)]
        part = rest.any() if most > 1 else Const(0)
        m.d.comb += [
            self.request.valid.eq(asks),
            self.request.payload.offset[at_bits:].eq(block),
            self.request.payload.beats.eq(count * self.config.derived.instruction_beats),
            accepted.eq(self.request.valid & self.request.ready),
        ]

        with m.If(begins):
            m.d.sync += [
                block.eq(self.block << BLOCK_BITS - at_bits),
                bursts.eq(whole + part),
                last.eq(Mux(part, whole == 0, whole == 1)),
                second.eq(Mux(part, whole == 1, whole == 2)),
                count.eq(Mux(whole != 0, most, rest)),
                of_last.eq(Mux(part, rest, most)),
            ]
        with m.Elif(accepted):
            m.d.sync += [
                block.eq(block + 1),
                bursts.eq(bursts - 1),
                last.eq(second),
                second.eq(bursts == 3),
                count.eq(Mux(last, 0, Mux(second, of_last, most))),
            ]
        # Nothing is asked for in the cycle after a burst was accepted: the next one, and its room, are registers first.
        m.d.sync += [
            asks.eq(~accepted & (count != 0) & (space >= count)),
            space.eq(Mux(accepted, space - count, space) + left),
        ]
        m.d.sync += awaited.eq(Mux(accepted, awaited + count, awaited) - arrived)
        return (count == 0) & (awaited == 0)

    def _collect(self, m: Module, buffer: SyncFIFO) -> Signal:
        """Beats to instructions, and those into the buffer; returns whether the last of one came a cycle before."""
        beats = self.config.derived.instruction_beats
        arrived = Signal()
        beat = Signal()
        data = Signal.like(self.data, reset_less=True)
        m.d.sync += [beat.eq(self.beat), data.eq(self.data)]  # whose beat it is comes out of a memory
        if beats == 1:
            m.d.comb += [arrived.eq(beat), buffer.w_data.eq(data)]
        else:
            # Beats of the instruction that arrives.
            earlier = Signal((beats - 1) * self.config.axi_bits, reset_less=True)
            number = Signal(range(beats))
            m.d.comb += [
                arrived.eq(beat & (number == beats - 1)),
                buffer.w_data.eq(Cat(earlier, data)),
            ]
            with m.If(beat):
                m.d.sync += [
                    earlier.eq(Cat(earlier, data)[self.config.axi_bits :]),
                    number.eq(number + 1),  # wraps, a power of two
                ]
        m.d.comb += buffer.w_en.eq(arrived)
        return arrived

    def _hand_on(self, m: Module, buffer: SyncFIFO, begins: Signal) -> Signal:
        """Instructions from the buffer to the stream, numbered; returns whether one leaves.  The stream is a register,
        and so is the unit: whether its queue has a place is enough for a cycle."""
        index = Signal(32, reset_less=True)
        shown = Signal()
        head = Signal(INSTRUCTION_BITS, reset_less=True)
        unit = Signal(UNITS, reset_less=True)
        left = Signal()
        m.d.comb += [
            self.instructions.valid.eq(shown),
            self.instructions.payload.numbered.instruction.eq(head),
            self.instructions.payload.numbered.index.eq(index),
            self.instructions.payload.unit.eq(unit),
            left.eq(self.instructions.valid & self.instructions.ready),
            # Not with `left`, which is known late: the head is hundreds of bits.
            buffer.r_en.eq(~shown),
        ]
        addressed = _address(m, buffer.r_data)
        with m.If(left):
            m.d.sync += shown.eq(0)
        with m.If(~shown):
            m.d.sync += [shown.eq(buffer.r_rdy), head.eq(buffer.r_data), unit.eq(addressed)]
        with m.If(begins):
            m.d.sync += index.eq(0)
        with m.If(left):
            m.d.sync += index.eq(index + 1)
        return left


class Dispatch(wiring.Component):
    """Gives each instruction to its unit's queue.

    Parameters: none.
    Members:
        instructions (in): stream of the program.
        queues (out): a stream for each unit.
        halt (in): nothing moves.
        illegal (out): the next instruction has no known opcode, or its unit's own bit in `wait` or `signal`; and its
            place.  It does not move.
    Protocol: streams stall: an instruction waits for a place in its queue, and those after it wait with it.
    Latency: none, it passes in its cycle; an instruction a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "instructions": In(stream.Signature(ADDRESSED)),
                "queues": Out(stream.Signature(NUMBERED)).array(UNITS),
                "halt": In(1),
                "illegal": Out(FAULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        incoming = self.instructions.payload
        target = incoming.unit
        offered = self.instructions.valid & ~self.halt
        for unit, queue in enumerate(self.queues):
            m.d.comb += [
                queue.valid.eq(offered & target[unit]),
                queue.payload.eq(incoming.numbered),
            ]
        m.d.comb += [
            self.instructions.ready.eq((target & Cat(q.ready for q in self.queues)).any() & ~self.halt),
            self.illegal.valid.eq(offered & (target == 0)),
            self.illegal.address.eq(incoming.numbered.index),
        ]
        return m
