"""The read port: who may ask for a burst, the AR channel, and where its beats go."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.gateware.interfaces import (
    ADDRESS_BITS,
    BURST_INCR,
    CACHE,
    FAULT,
    NO_TAG,
    PAGE_BITS,
    axi4_read,
    burst_request,
    size_of,
)


class ReadPort(wiring.Component):
    """Reads bursts for two clients, fetch and load; fetch goes first.

    Parameters: config.  tag: layout of what load wants to know of a burst when its beats arrive.
    Members:
        axi (out): the AR and R channels.
        fetch, load (in): streams of requests, see `burst_request`; no burst crosses 4 KiB.  An `offset` is there in
            the cycle before `valid`, too: it is compared with the window then.
        window_base, window_pages (in): first page and number of pages of the memory window.
        halt (in): accept no request.
        data, last (out): the R beat of this cycle, and whether it ends its burst.
        fetch_beat, load_beat (out): whose it is, if anyone's.  tag (out): of its burst, for load.
        outstanding (out): bursts accepted whose last beat has not arrived; a register.
        outside (out): a request is not in the window; it is not accepted.
        bus (out): a beat arrived with an error; its burst's address.
    Protocol: streams stall, see docs/architecture.md, "Read port"; beats cannot be refused (RREADY is 1).
    Latency: an accepted request is on the AR channel in the next cycle; beats pass through unregistered.  A
        burst a cycle, a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig, tag: data.Layout) -> None:
        self.config, self.tag_layout = config, tag
        pages = ADDRESS_BITS - PAGE_BITS
        super().__init__(
            {
                "axi": Out(axi4_read(config.axi_bits)),
                "fetch": In(stream.Signature(burst_request(NO_TAG))),
                "load": In(stream.Signature(burst_request(tag))),
                "window_base": In(pages),
                "window_pages": In(pages),
                "halt": In(1),
                "data": Out(config.axi_bits),
                "last": Out(1),
                "fetch_beat": Out(1),
                "load_beat": Out(1),
                "tag": Out(tag),
                "outstanding": Out(range(config.read_outstanding + 1)),
                "outside": Out(FAULT),
                "bus": Out(FAULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, fetch, load = self.axi, self.fetch, self.load
        entry = data.StructLayout({"fetch": 1, "address": ADDRESS_BITS, "tag": self.tag_layout})
        m.submodules.underway = underway = SyncFIFO(width=entry.size, depth=self.config.read_outstanding)
        incoming = Signal(entry)
        head = data.View(entry, underway.r_data)

        free = Signal()
        fetch_inside, load_inside = Signal(reset_less=True), Signal(reset_less=True)  # the window, in the cycle before
        inside = Signal()
        accept = Signal()
        offset = Signal(ADDRESS_BITS)
        address = Signal.like(axi.araddr, reset_less=True)
        length = Signal.like(axi.arlen, reset_less=True)
        m.d.comb += [
            free.eq((~axi.arvalid | axi.arready) & underway.w_rdy & ~self.halt),
            offset.eq(Mux(fetch.valid, fetch.payload.offset, load.payload.offset)),
            inside.eq(Mux(fetch.valid, fetch_inside, load_inside)),
            fetch.ready.eq(free & fetch_inside),
            load.ready.eq(free & load_inside & ~fetch.valid),
            accept.eq(free & inside & (fetch.valid | load.valid)),
            incoming.fetch.eq(fetch.valid),
            incoming.address[:PAGE_BITS].eq(offset[:PAGE_BITS]),
            incoming.address[PAGE_BITS:].eq(offset[PAGE_BITS:] + self.window_base),
            incoming.tag.eq(load.payload.tag),
            self.outside.valid.eq(free & ~inside & (fetch.valid | load.valid)),
            self.outside.address.eq(incoming.address),
            underway.w_en.eq(accept),
            underway.w_data.eq(incoming),
        ]

        m.d.sync += [
            fetch_inside.eq(fetch.payload.offset[PAGE_BITS:] < self.window_pages),
            load_inside.eq(load.payload.offset[PAGE_BITS:] < self.window_pages),
        ]
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        with m.If(accept):
            m.d.sync += [
                axi.arvalid.eq(1),
                address.eq(incoming.address),
                length.eq(Mux(fetch.valid, fetch.payload.beats, load.payload.beats) - 1),
            ]
        m.d.comb += [
            axi.araddr.eq(address),
            axi.arlen.eq(length),
            axi.arsize.eq(size_of(self.config)),
            axi.arburst.eq(BURST_INCR),
            axi.arcache.eq(CACHE),
            axi.rready.eq(1),
        ]

        m.d.comb += [
            self.data.eq(axi.rdata),
            self.last.eq(axi.rlast),
            self.fetch_beat.eq(axi.rvalid & head.fetch),
            self.load_beat.eq(axi.rvalid & ~head.fetch),
            self.tag.eq(head.tag),
            underway.r_en.eq(axi.rvalid & axi.rlast),
            self.outstanding.eq(underway.level),
            self.bus.valid.eq(axi.rvalid & (axi.rresp != 0)),
            self.bus.address.eq(head.address),
        ]
        return m
