"""The memory ports: AXI's rule that what is offered stays, the window, and how many bursts are under way."""

from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Target
from hw.gateware.axi_read import ReadPort
from hw.gateware.axi_write import WRITE_BEATS, WritePort, write_beat
from hw.gateware.interfaces import NO_TAG, burst_request
from hw.gateware.store_reader import StoreReader, read_burst
from tests.formal.prove import check

CONFIG = AcceleratorConfig(
    "formal", 4, 4, 32, read_outstanding=3, write_outstanding=2, output_depth=8, pooled_depth=8
)  # fmt: skip
TAG = data.StructLayout({"mark": 2})


def stays(m: Module, name: str, valid: Signal, ready: Signal, *payload: Signal) -> None:
    """Assert that a channel keeps what it offers until it is taken."""
    offered = Signal(name=f"{name}_offered")
    before = Signal(len(Cat(payload)), name=f"{name}_before")
    m.d.sync += [offered.eq(valid & ~ready), before.eq(Cat(payload))]
    with m.If(offered):
        m.d.comb += [Assert(valid), Assert(before == Cat(payload))]


class Reads(wiring.Component):
    """The read port under any requests and any memory that answers only what was asked."""

    def __init__(self) -> None:
        super().__init__(
            {
                "fetch": In(1),
                "fetch_request": In(burst_request(NO_TAG)),
                "load": In(1),
                "load_request": In(burst_request(TAG)),
                "window_pages": In(20),
                "halt": In(1),
                "arready": In(1),
                "rvalid": In(1),
                "rlast": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port = port = ReadPort(CONFIG, TAG)
        axi = port.axi
        asked, answerable = Signal(8), Signal(8)  # bursts on their way; those of them handshaken on AR
        accepted = Signal()
        pages = Signal(20)
        m.d.sync += pages.eq(self.window_pages)
        m.d.comb += [
            port.fetch.valid.eq(self.fetch),
            port.fetch.payload.eq(self.fetch_request),
            port.load.valid.eq(self.load),
            port.load.payload.eq(self.load_request),
            port.window_pages.eq(self.window_pages),
            port.halt.eq(self.halt),
            axi.arready.eq(self.arready),
            axi.rvalid.eq(self.rvalid),
            axi.rlast.eq(self.rlast),
            accepted.eq((port.fetch.valid & port.fetch.ready) | (port.load.valid & port.load.ready)),
            Assume(~self.rvalid | (answerable != 0)),
        ]
        ended = self.rvalid & self.rlast
        m.d.sync += [
            asked.eq(asked + accepted - ended),
            answerable.eq(answerable + (axi.arvalid & axi.arready) - ended),
        ]
        stays(m, "ar", axi.arvalid, axi.arready, axi.araddr, axi.arlen, axi.arsize, axi.arburst)
        held = Signal()
        m.d.sync += held.eq(axi.arvalid & ~axi.arready)
        with m.If(axi.arvalid & ~held):  # the window's base is 0 here
            m.d.comb += Assert(axi.araddr[12:] < pages)
        m.d.comb += [
            Assert(asked == port.outstanding),
            Assert(asked == answerable + axi.arvalid),
            Assert(port.outstanding <= CONFIG.read_outstanding),
            Assert(~self.halt | ~accepted),
            Assert(~(self.fetch & self.load & port.load.ready)),
            Assert(~(accepted & port.outside.valid)),
            Cover(port.outstanding == CONFIG.read_outstanding),
        ]
        return m


class Writes(wiring.Component):
    """The write port under any requests and beats, within the credit.

    beats_stay: assert that the W channel keeps its beat; on a few of its bits, since all are alike.
    """

    def __init__(self, beats_stay: bool) -> None:
        self.beats_stay = beats_stay
        super().__init__(
            {
                "valid": In(1),
                "request": In(burst_request(TAG)),
                "push": In(1),
                "beat": In(write_beat(CONFIG)),
                "window_pages": In(20),
                "halt": In(1),
                "awready": In(1),
                "wready": In(1),
                "bvalid": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port = port = WritePort(CONFIG, TAG)
        axi = port.axi
        asked, beats = Signal(8), Signal(8)
        m.d.comb += [
            port.request.valid.eq(self.valid),
            port.request.payload.eq(self.request),
            port.push.eq(self.push),
            port.beat.eq(self.beat),
            port.window_pages.eq(self.window_pages),
            port.halt.eq(self.halt),
            axi.awready.eq(self.awready),
            axi.wready.eq(self.wready),
            axi.bvalid.eq(self.bvalid),
            Assume(~self.bvalid | (asked != 0)),
            Assume(~self.push | (beats < WRITE_BEATS)),
        ]
        accepted = port.request.valid & port.request.ready
        m.d.sync += [asked.eq(asked + accepted - self.bvalid), beats.eq(beats + self.push - port.sent)]
        stays(m, "aw", axi.awvalid, axi.awready, axi.awaddr, axi.awlen, axi.awsize, axi.awburst)
        if self.beats_stay:
            stays(m, "w", axi.wvalid, axi.wready, axi.wdata[0], axi.wstrb[-1], axi.wlast)
        m.d.comb += [
            Assert(asked == port.outstanding),
            Assert(port.outstanding <= CONFIG.write_outstanding),
            Assert(~self.halt | ~accepted),
            Assert(~(accepted & port.outside.valid)),
            Assert(beats == port.waiting),
            Assert(axi.wvalid == (beats != 0)),
        ]
        return m


class Credit(wiring.Component):
    """The store unit's reader before the write port: the port's queue never overflows.

    Bursts go to memory or to a buffer on the chip; only beats to memory take credits.

    promptly: assert that a burst to memory is read in every cycle with credit, too; in the first cycles, since
    induction knows nothing of where a burst goes that began before.
    """

    def __init__(self, promptly: bool = False) -> None:
        self.promptly = promptly
        super().__init__({"begin": In(1), "burst": In(read_burst(CONFIG)), "wready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = StoreReader(CONFIG)
        m.submodules.port = port = WritePort(CONFIG, TAG)
        busy, credit, sent = Signal(), Signal.like(reader.credit), Signal()  # in the cycle before
        arriving = Signal()  # a beat to memory was read in the cycle before
        m.d.comb += [
            reader.begin.eq(self.begin),
            reader.burst.eq(self.burst),
            reader.sent.eq(port.sent),
            port.push.eq(reader.push),
            port.beat.eq(reader.beat),
            port.axi.wready.eq(self.wready),
            Assume(~self.begin | ~reader.busy),
        ]
        m.d.sync += [busy.eq(reader.busy), credit.eq(reader.credit), sent.eq(port.sent)]
        m.d.comb += [
            arriving.eq(reader.credit != credit + sent),
            Assert(reader.credit + arriving == credit + sent),
            Assert(~arriving | (busy & (credit != 0))),
            Assert(reader.credit + arriving + reader.push + port.waiting == WRITE_BEATS),
            Assert(~(reader.push & (port.waiting == WRITE_BEATS))),
            Cover(port.waiting == WRITE_BEATS),
        ]
        if self.promptly:
            to_memory, due = Signal(), Signal()  # of the burst being read; a beat to memory had to be read before
            with m.If(self.begin):
                m.d.sync += to_memory.eq(self.burst.target == Target.MEMORY)
            m.d.sync += due.eq(reader.busy & to_memory & (reader.credit != 0))
            m.d.comb += Assert(arriving == due)
        return m


def test_reads():
    check(Reads(), "reads", "prove", 3)


def test_all_reads_outstanding():
    check(Reads(), "reads", "cover", 8)


def test_writes():
    check(Writes(False), "writes", "prove", 3)


def test_beats_stay():
    check(Writes(True), "writes", "bmc", 12)


def test_credit():
    check(Credit(), "credit", "prove", 2)


def test_credit_is_used_promptly():
    check(Credit(promptly=True), "credit", "bmc", 12)


def test_credit_is_used_up():
    check(Credit(), "credit", "cover", 14)
