"""The pool unit: runs POOL."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.memory import write_port


class Pool(wiring.Component):
    """The pool unit, its pool buffer included.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; POOL.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): 1 while an instruction has left the queue and is not done.
        illegal (out): a pulse; an instruction that cannot run was taken.  It has no effect and is not in
            flight; until a reset the unit takes no other.
        pool_write (in), pooled_write (out): a word of M bytes, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a tap of M channels a cycle, and a channel's average a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        word = 8 * config.oc_lanes
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "done": Out(1),
                "signal": Out(4),
                "in_flight": Out(1),
                "illegal": Out(1),
                "pool_write": In(write_port(config.pool_depth, word)),
                "pooled_write": Out(write_port(config.pooled_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return Module()
