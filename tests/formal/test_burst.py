"""Bursts: for any row, in order, without gaps, as long as the rules allow and no longer."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.contract.config import AcceleratorConfig
from hw.gateware.burst import BurstSplitter
from tests.formal.prove import check

CONFIG = AcceleratorConfig("formal", 8, 8, 64, max_burst=100)
BITS, PAGE = 12, 512


class Rows(wiring.Component):
    """The splitter under any rows, against two counters."""

    def __init__(self) -> None:
        super().__init__({"begin": In(1), "position": In(29), "beats": In(BITS), "advance": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.splitter = splitter = BurstSplitter(CONFIG, BITS)
        burst = splitter.burst
        begun, position, remaining = Signal(), Signal(29), Signal(BITS)
        settled = Signal()  # the burst was there in the cycle before
        m.d.sync += settled.eq(~self.begin & ~self.advance)
        m.d.comb += [
            splitter.begin.eq(self.begin),
            splitter.row.position.eq(self.position),
            splitter.row.beats.eq(self.beats),
            splitter.advance.eq(self.advance),
            Assume(~self.begin | (self.beats != 0)),
            Assume(~self.advance | self.begin | (settled & ~splitter.last)),
        ]
        with m.If(self.begin):
            m.d.sync += [begun.eq(1), position.eq(self.position), remaining.eq(self.beats)]
        with m.Elif(self.advance):
            m.d.sync += [position.eq(position + burst.beats), remaining.eq(remaining - burst.beats)]
        page_left = PAGE - position[:9]
        allowed = Mux(page_left < CONFIG.max_burst, page_left, CONFIG.max_burst)
        with m.If(begun):
            m.d.comb += [
                Assert(burst.position == position),
                Assert(splitter.remaining == remaining),
                Assert(remaining != 0),
            ]
        with m.If(begun & settled):
            m.d.comb += [
                Assert(burst.beats == Mux(remaining < allowed, remaining, allowed)),
                Assert(splitter.last == (remaining == burst.beats)),
                Cover(splitter.last & (burst.beats == 3) & (position[:9] == 0)),
            ]
        return m


def test_bursts():
    check(Rows(), "burst", "prove", 1)


def test_a_row_ends_beyond_a_page():
    check(Rows(), "burst", "cover", 6)
