"""The compute unit: runs SETUP and CONV."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.memory import write_port


class Compute(wiring.Component):
    """The compute unit, its activation, weight and residual buffers included.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; SETUP and CONV.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): instructions that left the queue and are not done.
        illegal (out): a pulse; an instruction that cannot run was taken.  It has no effect and is not in
            flight; until a reset the unit takes no other.  Those before it run to their end.
        activation_write, weight_write (in): a beat a cycle, by beat address.
        residual_write (in): the same, and `plane` where M > N.
        output_write, pool_write (out): a word of M bytes, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a pixel a cycle, two cycles where 16-bit results leave.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, word = 8 * d.beat_bytes, 8 * config.oc_lanes
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "done": Out(1),
                "signal": Out(4),
                "in_flight": Out(range(3)),
                "illegal": Out(1),
                "activation_write": In(write_port(d.activation_beats, beat)),
                "weight_write": In(write_port(config.weight_depth, beat)),
                "residual_write": In(write_port(d.residual_beats, beat, d.planes)),
                "output_write": Out(write_port(config.output_depth, word)),
                "pool_write": Out(write_port(config.pool_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return Module()
