"""Fetch and dispatch: requests, order and every cycle against docs/architecture.md."""

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract.config import AcceleratorConfig
from hw.gateware.fetch import Dispatch, Fetch
from hw.gateware.interfaces import FAULT, NO_TAG, NUMBERED, UNITS, burst_request
from tests.hw.gateware.helpers.build import run

CONFIGS = [
    AcceleratorConfig("eight_beats", 4, 4, 32, fetch_depth=16),
    AcceleratorConfig("two_beats", 8, 8, 128, fetch_depth=8),
    AcceleratorConfig("one_beat", 8, 8, 256, fetch_depth=32),
    AcceleratorConfig("axi3", 8, 8, 64, max_burst=16),  # four instructions a burst
    AcceleratorConfig("two_a_burst", 8, 8, 64, max_burst=11, fetch_depth=8),
    AcceleratorConfig("one_a_burst", 4, 4, 32, max_burst=3, fetch_depth=8),
]


class Front(wiring.Component):
    """Fetch and dispatch; the read port and the queues come from outside."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "run": In(1),
                "block": In(24),
                "length": In(32),
                "request": Out(stream.Signature(burst_request(NO_TAG))),
                "beat": In(1),
                "data": In(config.axi_bits),
                "drained": Out(1),
                "queues": Out(stream.Signature(NUMBERED)).array(UNITS),
                "halt": In(1),
                "illegal": Out(FAULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(self.config)
        m.submodules.dispatch = dispatch = Dispatch()
        connect(m, fetch.request, flipped(self.request))
        connect(m, fetch.instructions, dispatch.instructions)
        for inner, outer in zip(dispatch.queues, self.queues, strict=True):
            connect(m, inner, flipped(outer))
        m.d.comb += [
            fetch.run.eq(self.run),
            fetch.block.eq(self.block),
            fetch.length.eq(self.length),
            fetch.beat.eq(self.beat),
            fetch.data.eq(self.data),
            self.drained.eq(fetch.drained),
            dispatch.halt.eq(self.halt),
            self.illegal.eq(dispatch.illegal),
        ]
        return m


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_fetch(config):
    run(Front(config), f"fetch_{config.name}", "cocotb_fetch", config=config)
