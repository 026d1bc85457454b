"""Tokens: none is taken that was not given, none is lost, and semaphores do not overflow."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.gateware.interfaces import UNITS
from hw.gateware.tokens import MASKS, Semaphores
from tests.formal.prove import check

BITS, DEPTH = 4, 4
LEAD = (1 << BITS) - 1 - DEPTH
"""Tokens that a prefix of a program may give beyond those that it takes, see TOKEN_BITS."""


class Program(wiring.Component):
    """Semaphores under any program whose prefixes give one semaphore at most LEAD tokens too many.

    Instructions are dispatched in order; those that give a token do so later, those that take one wait in a queue
    of DEPTH places until it is there.  `gives`, `takes`: masks of the instruction dispatched in this cycle, for
    each unit that gives, and for each that takes.
    """

    def __init__(self) -> None:
        super().__init__(
            {"gives": In(MASKS), "takes": In(MASKS), "done": In(UNITS), "signal": In(MASKS), "take": In(MASKS)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.semaphores = semaphores = Semaphores(BITS)
        m.d.comb += [
            semaphores.done.eq(self.done),
            semaphores.signal.eq(self.signal),
            semaphores.take.eq(self.take),
            Assert(~semaphores.overflow),
        ]
        for giver in range(UNITS):
            for taker in range(UNITS):
                if giver != taker:
                    self.pair(m, semaphores, giver, taker)
        return m

    def pair(self, m: Module, semaphores: Semaphores, giver: int, taker: int) -> None:
        gives, takes = self.gives[giver][taker], self.takes[taker][giver]
        given = self.done[giver] & self.signal[giver][taker]
        taken = self.take[taker][giver]
        lead = Signal(8, name=f"lead_{giver}_{taker}")  # given minus taken, in the instructions dispatched
        pending = Signal(8, name=f"pending_{giver}_{taker}")  # dispatched, to be given
        waiting = Signal(range(DEPTH + 1), name=f"waiting_{giver}_{taker}")  # dispatched, to be taken
        m.d.sync += [
            lead.eq(lead + gives - takes),
            pending.eq(pending + gives - given),
            waiting.eq(waiting + takes - taken),
        ]
        m.d.comb += [
            # The program: it never gives too much, nor takes more than was given before.
            Assume(lead + gives <= LEAD + takes),
            Assume(lead + gives >= takes),
            Assume(pending < 200),
            # The units give what was dispatched, and queues hold DEPTH instructions.
            Assume(~given | (pending != 0)),
            Assume(~takes | (waiting != DEPTH)),
            # The gate, see test_queue.py.
            Assume(~taken | ((waiting != 0) & semaphores.available[taker][giver])),
            Assert(waiting <= DEPTH),
            Assert(semaphores.available[taker][giver] == (semaphores.tokens[taker][giver] != 0)),
            Assert(lead + waiting == pending + semaphores.tokens[taker][giver]),
        ]


def test_a_correct_program_never_overflows_a_semaphore():
    check(Program(), "tokens", "prove", 2)
