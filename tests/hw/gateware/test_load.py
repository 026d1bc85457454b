"""The load unit behind the read port: requests, beats and every cycle against docs/architecture.md."""

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.contract.config import AcceleratorConfig
from hw.gateware.axi_read import ReadPort
from hw.gateware.interfaces import FAULT, NO_TAG, axi4_read, burst_request, unit_front
from hw.gateware.load import LoadUnit, load_tag
from hw.gateware.memory import write_port
from tests.hw.gateware.helpers.build import run

SHALLOW = {"activation_depth": 256, "weight_depth": 128, "residual_depth": 64}
CONFIGS = [
    AcceleratorConfig("word_is_beat", 4, 4, 32, max_burst=7, read_outstanding=3, **SHALLOW),
    AcceleratorConfig("two_words_a_beat", 8, 16, 128, max_burst=16, **SHALLOW),
    AcceleratorConfig("one_outstanding", 8, 8, 32, max_burst=256, read_outstanding=1, **SHALLOW),
]


class LoadSide(wiring.Component):
    """The load unit and the read port; fetch's requests come from outside."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat = 8 * d.beat_bytes
        super().__init__(
            {
                "axi": Out(axi4_read(beat)),
                "front": In(unit_front(config.read_outstanding + 1)),
                "fetch": In(stream.Signature(burst_request(NO_TAG))),
                "fetch_beat": Out(1),
                "window_base": In(20),
                "window_pages": In(20),
                "halt": In(1),
                "outstanding": Out(8),
                "outside": Out(FAULT),
                "bus": Out(FAULT),
                "activation_write": Out(write_port(d.activation_beats, beat, words=d.words_per_beat)),
                "weight_write": Out(write_port(config.weight_depth, beat)),
                "residual_write": Out(write_port(d.residual_beats, beat, d.planes, d.words_per_beat)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.load = load = LoadUnit(self.config)
        m.submodules.port = port = ReadPort(self.config, load_tag(self.config))
        connect(m, port.axi, flipped(self.axi))
        connect(m, flipped(self.fetch), port.fetch)
        connect(m, flipped(self.front), load.front)
        connect(m, load.request, port.load)
        for name in ("activation_write", "weight_write", "residual_write"):
            connect(m, getattr(load, name), flipped(getattr(self, name)))
        m.d.comb += [
            load.beat.eq(port.load_beat),
            load.last.eq(port.last),
            load.data.eq(port.data),
            load.tag.eq(port.tag),
            port.window_base.eq(self.window_base),
            port.window_pages.eq(self.window_pages),
            port.halt.eq(self.halt),
        ]
        for name in ("fetch_beat", "outstanding", "outside", "bus"):
            m.d.comb += getattr(self, name).eq(getattr(port, name))
        return m


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_load(config):
    run(LoadSide(config), f"load_{config.name}", "cocotb_load", config=config)
