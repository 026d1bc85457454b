"""Queues and semaphores: every cycle against docs/architecture.md."""

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.gateware.interfaces import NUMBERED, UNITS
from hw.gateware.queue import Queue
from hw.gateware.tokens import Semaphores
from tests.hw.gateware.helpers.build import run

CONFIGS = [
    AcceleratorConfig("four_deep", 4, 4, 32, queue_depth=4),
    AcceleratorConfig("one_deep", 4, 4, 32, queue_depth=1),
]


class Queues(wiring.Component):
    """The four queues and the semaphores."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "halt": In(1),
                "done": In(UNITS),
                "ready": In(UNITS),
                "valid": Out(UNITS),
                "empty": Out(UNITS),
                "absent": Out(UNITS),
                "overflow": Out(1),
                "units": In(
                    wiring.Signature(
                        {
                            "push": Out(stream.Signature(NUMBERED)),
                            "signal": Out(UNITS),
                            "instruction": In(256),
                            "index": In(32),
                            "missing": In(UNITS),
                        }
                    )
                ).array(UNITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.semaphores = semaphores = Semaphores()
        m.d.comb += [semaphores.done.eq(self.done), self.overflow.eq(semaphores.overflow)]
        for number, unit in enumerate(self.units):
            m.submodules[f"queue_{number}"] = queue = Queue(self.config, Unit(number))
            connect(m, flipped(unit.push), queue.push)
            m.d.comb += [
                semaphores.signal[number].eq(unit.signal),
                semaphores.take[number].eq(queue.take),
                queue.available.eq(semaphores.available[number]),
                queue.ready.eq(self.ready[number]),
                queue.halt.eq(self.halt),
                self.valid[number].eq(queue.valid),
                self.empty[number].eq(queue.empty),
                self.absent[number].eq(queue.absent),
                unit.instruction.eq(queue.instruction),
                unit.index.eq(queue.index),
                unit.missing.eq(queue.missing),
            ]
        return m


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_queues(config):
    run(Queues(config), f"queue_{config.name}", "cocotb_queue", config=config)
