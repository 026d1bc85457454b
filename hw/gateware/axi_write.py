"""The write port: the AW, W and B channels."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.timing import STORE_AHEAD
from hw.gateware.interfaces import (
    ADDRESS_BITS,
    BURST_INCR,
    CACHE,
    FAULT,
    PAGE_BITS,
    axi4_write,
    burst_request,
    size_of,
)

WRITE_BEATS = STORE_AHEAD
"""Beats that wait for the W channel at most, those being read from a buffer included."""


def write_beat(config: AcceleratorConfig) -> data.StructLayout:
    """A beat of the W channel."""
    return data.StructLayout({"data": config.axi_bits, "strobe": config.derived.beat_bytes, "last": 1})


class WritePort(wiring.Component):
    """Writes the bursts of one client, the store unit.

    Parameters: config.  tag: layout of what the client wants to know of a burst when it is answered.
    Members:
        axi (out): the AW, W and B channels.
        request (in): stream of requests, see `burst_request`; no burst crosses 4 KiB.  An `offset` is there in
            the cycle before `valid`, too: it is compared with the window then.
        push, beat (in): a beat for the W channel, see `write_beat`: those of every accepted request, in order.
            The client pushes no more than WRITE_BEATS beats that are not `sent`; none is refused.
        sent (out): a beat was transferred in this cycle.  waiting (out): beats pushed and not sent; a register.
        window_base, window_pages (in): first page and number of pages of the memory window.
        halt (in): accept no request.
        answered, tag (out): a response arrived in this cycle, and the tag of its burst.
        outstanding (out): bursts accepted and not answered; a register.
        outside (out): the request is not in the window; it is not accepted.
        bus (out): a response brought an error; its burst's address.
    Protocol: the stream stalls, see docs/architecture.md, "Store"; responses are never refused (BREADY is 1).
    Latency: an accepted request is on the AW channel in the next cycle, a pushed beat on the W channel too; a
        burst a cycle, a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig, tag: data.Layout) -> None:
        self.config, self.tag_layout = config, tag
        pages = ADDRESS_BITS - PAGE_BITS
        super().__init__(
            {
                "axi": Out(axi4_write(config.axi_bits)),
                "request": In(stream.Signature(burst_request(tag))),
                "push": In(1),
                "beat": In(write_beat(config)),
                "sent": Out(1),
                "waiting": Out(range(WRITE_BEATS + 1)),
                "window_base": In(pages),
                "window_pages": In(pages),
                "halt": In(1),
                "answered": Out(1),
                "tag": Out(tag),
                "outstanding": Out(range(config.write_outstanding + 1)),
                "outside": Out(FAULT),
                "bus": Out(FAULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, request = self.axi, self.request.payload
        entry = data.StructLayout({"address": ADDRESS_BITS, "tag": self.tag_layout})
        m.submodules.underway = underway = SyncFIFO(width=entry.size, depth=self.config.write_outstanding)
        m.submodules.beats = beats = SyncFIFO(width=self.beat.shape().size, depth=WRITE_BEATS)
        incoming = Signal(entry)
        head = data.View(entry, underway.r_data)
        leaving = data.View(self.beat.shape(), beats.r_data)

        free = Signal()
        inside = Signal(reset_less=True)  # the window, in the cycle before
        accept = Signal()
        address = Signal.like(axi.awaddr, reset_less=True)
        length = Signal.like(axi.awlen, reset_less=True)
        m.d.comb += [
            free.eq((~axi.awvalid | axi.awready) & underway.w_rdy & ~self.halt),
            self.request.ready.eq(free & inside),
            accept.eq(self.request.valid & self.request.ready),
            incoming.address[:PAGE_BITS].eq(request.offset[:PAGE_BITS]),
            incoming.address[PAGE_BITS:].eq(request.offset[PAGE_BITS:] + self.window_base),
            incoming.tag.eq(request.tag),
            self.outside.valid.eq(free & ~inside & self.request.valid),
            self.outside.address.eq(incoming.address),
            underway.w_en.eq(accept),
            underway.w_data.eq(incoming),
        ]

        m.d.sync += inside.eq(request.offset[PAGE_BITS:] < self.window_pages)
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(accept):
            m.d.sync += [
                axi.awvalid.eq(1),
                address.eq(incoming.address),
                length.eq(request.beats - 1),
            ]
        m.d.comb += [
            axi.awaddr.eq(address),
            axi.awlen.eq(length),
            axi.awsize.eq(size_of(self.config)),
            axi.awburst.eq(BURST_INCR),
            axi.awcache.eq(CACHE),
            axi.bready.eq(1),
        ]

        m.d.comb += [
            beats.w_en.eq(self.push),
            beats.w_data.eq(self.beat),
            axi.wvalid.eq(beats.r_rdy),
            axi.wdata.eq(leaving.data),
            axi.wstrb.eq(leaving.strobe),
            axi.wlast.eq(leaving.last),
            self.sent.eq(axi.wvalid & axi.wready),
            beats.r_en.eq(axi.wready),
            self.waiting.eq(beats.level),
        ]

        m.d.comb += [
            self.answered.eq(axi.bvalid),
            self.tag.eq(head.tag),
            underway.r_en.eq(axi.bvalid),
            self.outstanding.eq(underway.level),
            self.bus.valid.eq(axi.bvalid & (axi.bresp != 0)),
            self.bus.address.eq(head.address),
        ]
        return m
