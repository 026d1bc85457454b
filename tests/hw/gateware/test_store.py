"""The store unit before the write port: requests, beats, strobes and every cycle against docs/architecture.md."""

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract.config import AcceleratorConfig
from hw.gateware.axi_write import WritePort
from hw.gateware.interfaces import FAULT, axi4_write, unit_front
from hw.gateware.memory import write_port
from hw.gateware.store import StoreUnit
from hw.gateware.store_walk import STORE_TAG
from tests.hw.gateware.helpers.build import run

SHALLOW = {"output_depth": 128, "pooled_depth": 64, "activation_depth": 256, "residual_depth": 128}
CONFIGS = [
    AcceleratorConfig("word_is_beat", 4, 4, 32, max_burst=7, write_outstanding=1, **SHALLOW),
    AcceleratorConfig("two_words_a_beat", 8, 16, 128, max_burst=16, **SHALLOW),
    AcceleratorConfig("eight_words_a_beat", 4, 8, 256, **SHALLOW),
    AcceleratorConfig("two_beats_a_word", 8, 8, 32, max_burst=64, **SHALLOW),
]


class StoreSide(wiring.Component):
    """The store unit and the write port."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d, word = config.derived, config.oc_lanes * config.data_bits
        super().__init__(
            {
                "axi": Out(axi4_write(config.axi_bits)),
                "front": In(unit_front(config.write_outstanding + 1)),
                "window_base": In(20),
                "window_pages": In(20),
                "halt": In(1),
                "outstanding": Out(8),
                "outside": Out(FAULT),
                "bus": Out(FAULT),
                "strobed": Out(8),
                "output_write": In(write_port(config.output_depth, word)),
                "pooled_write": In(write_port(config.pooled_depth, word)),
                "activation_write": Out(write_port(d.activation_beats, config.axi_bits, words=d.words_per_beat)),
                "residual_write": Out(write_port(d.residual_beats, config.axi_bits, d.planes, d.words_per_beat)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.store = store = StoreUnit(self.config)
        m.submodules.port = port = WritePort(self.config, STORE_TAG)
        connect(m, port.axi, flipped(self.axi))
        connect(m, flipped(self.front), store.front)
        connect(m, store.request, port.request)
        connect(m, flipped(self.output_write), store.output_write)
        connect(m, flipped(self.pooled_write), store.pooled_write)
        connect(m, store.activation_write, flipped(self.activation_write))
        connect(m, store.residual_write, flipped(self.residual_write))
        m.d.comb += [
            port.push.eq(store.push),
            port.beat.eq(store.beat),
            store.sent.eq(port.sent),
            store.answered.eq(port.answered),
            store.tag.eq(port.tag),
            port.window_base.eq(self.window_base),
            port.window_pages.eq(self.window_pages),
            port.halt.eq(self.halt),
        ]
        m.d.comb += self.strobed.eq(store.strobed)
        for name in ("outstanding", "outside", "bus"):
            m.d.comb += getattr(self, name).eq(getattr(port, name))
        return m


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_store(config):
    run(StoreSide(config), f"store_{config.name}", "cocotb_store", config=config)
