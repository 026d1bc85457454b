"""The gate of a queue: what starts has its tokens, and what may start stays so until it does."""

from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.timing import QUEUE_INTERVAL
from hw.gateware.interfaces import NUMBERED, UNITS
from hw.gateware.queue import Queue
from tests.formal.prove import check

CONFIG = AcceleratorConfig("formal", 4, 4, 32, queue_depth=2)


class Gate(wiring.Component):
    """A queue under anything; tokens that are there stay until they are taken."""

    def __init__(self) -> None:
        super().__init__({"push": In(1), "payload": In(NUMBERED), "ready": In(1), "halt": In(1), "given": In(UNITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(CONFIG, Unit.POOL)
        wait = queue.instruction[4 : 4 + UNITS] & ~(1 << Unit.POOL)
        started = queue.valid & queue.ready
        available = Signal(UNITS)
        m.d.comb += [
            queue.push.valid.eq(self.push),
            queue.push.payload.eq(self.payload),
            queue.ready.eq(self.ready),
            queue.halt.eq(self.halt),
            queue.available.eq(available),
        ]
        m.d.sync += available.eq((available & ~queue.take) | self.given)

        head = Cat(queue.instruction[:12], queue.index[-1])  # a few of its bits, since all are alike
        was_valid, before = Signal(), Signal(len(head))
        earlier = Signal(QUEUE_INTERVAL)  # starts in the cycles before, the last one's first
        was_started = earlier[0]
        m.d.sync += [
            was_valid.eq(queue.valid),
            earlier.eq(Cat(started, earlier)),
            before.eq(head),
        ]
        m.d.comb += [
            Assert(~queue.valid | ((wait & ~available) == 0)),
            Assert(~queue.valid | ~queue.empty),
            Assert(~queue.halt | ~queue.valid),
            Assert(~started | (queue.take == wait)),
            Assert(started | (queue.take == 0)),
            Assert((queue.missing == 0) | ~queue.valid),
            Assert((queue.missing == 0) | ~queue.absent),
            Assert(~queue.valid | ~queue.absent),
            Assert(queue.valid | (queue.missing != 0) | queue.absent | self.halt),
        ]
        with m.If(was_valid & ~was_started & ~self.halt):
            m.d.comb += [Assert(queue.valid), Assert(before == head)]
        with m.If(queue.valid):
            m.d.comb += Assert(before == head)  # it was shown in the cycle before
            m.d.comb += Assert(~earlier[:-1].any())
        with m.If(was_started):
            m.d.comb += Assert(before == head)  # it is shown for the cycle after it left
        level = Signal(range(CONFIG.queue_depth + 1))
        m.d.sync += level.eq(level + (queue.push.valid & queue.push.ready) - started)
        m.d.comb += [
            Assert(queue.push.ready == (level != CONFIG.queue_depth)),
            Assert(queue.empty == (level == 0)),
            Cover(earlier[-1] & started & (level == 1)),  # as soon as can be
            Cover((queue.missing != 0) & (level == CONFIG.queue_depth)),
        ]
        return m


def test_gate():
    check(Gate(), "queue", "bmc", 14)


def test_gate_can_be_full_and_wait():
    check(Gate(), "queue", "cover", 12)
