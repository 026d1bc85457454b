"""The weight buffer, and its one reader."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.weights import gateware_format
from hw.gateware.accumulator import Parameters, parameter_sets
from hw.gateware.memory import DualPort, write_port


class WeightReader(wiring.Component):
    """The weight buffer, and what reads it: parameters into their registers, weight blocks into the array.

    Parameters: config.
    Members:
        write (in): a beat a cycle.
        depthwise (in): which of the two kinds of weight block is read; stable while one is.
        start, base, with_parameters (in): read from beat `base` on, if asked the parameter block, then a weight
            block.  more (in): read the weight block that follows; not while something is being read, except
            its last beat.  stop (in): read nothing more.
        last_read (out): in this cycle the last beat of what was asked for is read; the array shifts it in in
            the next one.
        beat, shift (out): for the array.
        sets, set (out): the sets of parameters, and the one that was read last or is being read; `start` with
            parameters changes it.
    Protocol: none; obeys every cycle.
    Latency: the first beat is read in the cycle after `start` or `more`; a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "write": In(write_port(config.weight_depth, config.axi_bits)),
                "depthwise": In(1),
                "start": In(1),
                "base": In(BUFFER_ADDRESS_BITS),
                "with_parameters": In(1),
                "more": In(1),
                "stop": In(1),
                "last_read": Out(1),
                "beat": Out(config.axi_bits),
                "shift": Out(1),
                "sets": Out(parameter_sets(config)),
                "set": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parameter_beats = self.config.derived.parameter_beats
        sizes = {mode: gateware_format(self.config).block_beats(self.config, mode) for mode in Mode}
        block_beats = Mux(self.depthwise, sizes[Mode.DEPTHWISE], sizes[Mode.DENSE])
        m.submodules.buffer = buffer = DualPort(self.config.axi_bits, self.config.weight_depth)
        m.submodules.parameters = parameters = Parameters(self.config)
        wiring.connect(m, wiring.flipped(self.write), buffer.write)
        address = Signal.like(buffer.read_address, reset_less=True)
        beats_left = Signal(range(parameter_beats + max(sizes.values()) + 1))
        # Parameters come before the block, so what is left says which of the two a beat belongs to.
        reading_parameters = Signal()
        m.d.comb += [
            reading_parameters.eq(beats_left > block_beats),
            self.last_read.eq(beats_left == 1),
            buffer.read_address.eq(address),
            self.beat.eq(buffer.read_data),
            self.sets.eq(parameters.sets),
            parameters.set.eq(self.set),
            parameters.beat.eq(buffer.read_data),
        ]
        # The buffer answers in the next cycle; so where a beat goes is a register, too.
        m.d.sync += [
            self.shift.eq((beats_left != 0) & ~reading_parameters),
            parameters.write.eq(reading_parameters),
            parameters.index.eq(parameters.index + 1),
        ]
        with m.If(beats_left != 0):
            m.d.sync += [address.eq(address + 1), beats_left.eq(beats_left - 1)]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.base),
                beats_left.eq(block_beats + Mux(self.with_parameters, parameter_beats, 0)),
                parameters.index.eq(-1),  # 0 when the first beat is there
                # Pixels of the CONV before still want its parameters.  There are two CONVs in flight at most, so
                # nobody wants those of the one before that.
                self.set.eq(self.set ^ self.with_parameters),
            ]
        with m.Elif(self.stop):
            m.d.sync += beats_left.eq(0)
        with m.Elif(self.more):
            m.d.sync += beats_left.eq(block_beats)
        return m
