"""The memory ports: AXI's rule that what is offered stays, the window, and how many bursts are under way."""

from amaranth import Cat, Module, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Target
from hw.gateware.axi_read import ReadPort
from hw.gateware.axi_write import WRITE_BEATS, WritePort, write_beat
from hw.gateware.decode import INSTRUCTION_BITS
from hw.gateware.fetch import BLOCK_BITS, Fetch
from hw.gateware.interfaces import ADDRESS_BITS, NO_TAG, PAGE_BITS, burst_request
from hw.gateware.load import LoadUnit
from hw.gateware.store_reader import StoreReader, read_burst
from hw.gateware.store_walk import StoreWalk
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


def announced(m: Module, name: str, valid: Signal, offset: Signal) -> Value:
    """Whether a request's offset is there in the cycle before it is valid, too: the ports compare it with the window
    then."""
    before = Signal.like(offset, name=f"{name}_offset_before", reset_less=True)
    m.d.sync += before.eq(offset)
    return ~valid | (offset == before)


def inside(m: Module, name: str, pages: Signal, valid: Signal, ready: Signal, address: Signal) -> None:
    """Assert that what comes to an address channel was in the window when it was compared with it, in the cycle before
    it was accepted; the window's base is 0."""
    held = Signal(name=f"{name}_held")
    before = Signal.like(pages, name=f"{name}_pages_before", reset_less=True)
    compared = Signal.like(pages, name=f"{name}_pages_compared", reset_less=True)
    m.d.sync += [held.eq(valid & ~ready), before.eq(pages), compared.eq(before)]
    with m.If(valid & ~held):
        m.d.comb += Assert(address[PAGE_BITS:] < compared)


class Clients(wiring.Component):
    """What asks the ports, under anything: no request is made whose offset was not there in the cycle before."""

    def __init__(self) -> None:
        instruction = In(INSTRUCTION_BITS)
        super().__init__(
            {
                "run": In(1),
                "block": In(ADDRESS_BITS - BLOCK_BITS),
                "length": In(32),
                "beat": In(1),
                "taken": In(1),
                "load": instruction,
                "load_valid": In(1),
                "load_accepted": In(1),
                "fetch_accepted": In(1),
                "store": instruction,
                "store_start": In(1),
                "store_legal": In(1),
                "store_accepted": In(1),
                "store_reading": In(1),
                "store_ends": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(CONFIG)
        m.submodules.load = load = LoadUnit(CONFIG)
        m.submodules.store = store = StoreWalk(CONFIG)
        m.d.comb += [
            fetch.run.eq(self.run),
            fetch.block.eq(self.block),
            fetch.length.eq(self.length),
            fetch.beat.eq(self.beat),
            fetch.instructions.ready.eq(self.taken),
            load.front.instruction.eq(self.load),
            load.front.valid.eq(self.load_valid),
            store.instruction.eq(self.store),
            store.start.eq(self.store_start),
            store.legal.eq(self.store_legal),
            store.reading.eq(self.store_reading),
            store.ends.eq(self.store_ends),
            Assume(~self.store_start | ~store.busy),
        ]
        for name, client, accepted in (
            ("fetch", fetch, self.fetch_accepted),
            ("load", load, self.load_accepted),
            ("store", store, self.store_accepted),
        ):
            request = client.request
            m.d.comb += [
                request.ready.eq(accepted),
                Assert(announced(m, name, request.valid, request.payload.offset)),
                Cover(request.valid & accepted & request.payload.offset.any()),
            ]
        return m


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
            Assume(announced(m, "fetch", self.fetch, self.fetch_request.offset)),
            Assume(announced(m, "load", self.load, self.load_request.offset)),
        ]
        ended = self.rvalid & self.rlast
        m.d.sync += [
            asked.eq(asked + accepted - ended),
            answerable.eq(answerable + (axi.arvalid & axi.arready) - ended),
        ]
        stays(m, "ar", axi.arvalid, axi.arready, axi.araddr, axi.arlen, axi.arsize, axi.arburst)
        inside(m, "ar", self.window_pages, axi.arvalid, axi.arready, axi.araddr)
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
            Assume(announced(m, "request", self.valid, self.request.offset)),
        ]
        accepted = port.request.valid & port.request.ready
        m.d.sync += [asked.eq(asked + accepted - self.bvalid), beats.eq(beats + self.push - port.sent)]
        stays(m, "aw", axi.awvalid, axi.awready, axi.awaddr, axi.awlen, axi.awsize, axi.awburst)
        inside(m, "aw", self.window_pages, axi.awvalid, axi.awready, axi.awaddr)
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


def test_clients_say_what_they_will_ask_for():
    check(Clients(), "clients", "bmc", 12)


def test_clients_ask():
    check(Clients(), "clients", "cover", 12)


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
