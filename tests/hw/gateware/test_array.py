"""The multiplier array against a matrix product."""

import numpy as np
import pytest
from amaranth import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.weights.pairs import PRODUCT_BITS, Pairs4
from hw.gateware.array import Array, factor, factor_bits, halves
from tests.hw.gateware.helpers.build import run
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIGS = [
    AcceleratorConfig("word_is_beat", 4, 4, 32),
    AcceleratorConfig("two_words_a_beat", 4, 8, 64),
    AcceleratorConfig("two_beats_a_word", 8, 8, 32),
    AcceleratorConfig("more_lanes_than_taps", 16, 16, 64),
    AcceleratorConfig("four_planes", 2, 8, 128),
    AcceleratorConfig("sixteen_bits", 4, 8, 64, 16, 16, 48, tables=False),
    AcceleratorConfig("pairs_of_beats", 4, 4, 32, codebooks=True),
    AcceleratorConfig("packed", 8, 16, 128, codebooks=True, packed=True),
    AcceleratorConfig("packed_alone", 4, 4, 32, packed=True),
    AcceleratorConfig("packed_lanes", 32, 32, 128, packed=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_products(config):
    run(Array(config), f"array_{config.name}", "cocotb_array", config=config)


LANES = range(-128, 256)
"""What a lane of 8-bit data holds, with a sign or without."""


class Multiplier(wiring.Component):
    """One of the array, with the register behind it."""

    def __init__(self) -> None:
        config = preset("packed")
        self.factor_bits = factor_bits(config)
        super().__init__(
            {
                "weight": In(signed(8)),
                "packed": In(1),
                "lane": In(signed(config.derived.lane_bits)),
                "whole": Out(signed(2 * PRODUCT_BITS)),
                "low": Out(signed(PRODUCT_BITS)),
                "high": Out(signed(PRODUCT_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken = factor(self.weight, self.packed)
        assert len(taken) == self.factor_bits <= 18  # a multiplier of an ECP5 has 18 x 18 bits, a DSP48E1 25 x 18
        m.d.sync += self.whole.eq(self.lane * taken)
        upper, borrow = halves(self.whole)
        m.d.comb += [self.low.eq(self.whole[:PRODUCT_BITS]), self.high.eq(upper + borrow)]
        return m


def test_every_product_of_two_weights():
    """All pairs of weights of 4 bits with all that a lane holds, and all weights of 8 bits."""
    multiplier = Multiplier()
    pairs = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), indexing="ij"), axis=-1).reshape(-1, 2)
    data = Pairs4()._pack(pairs.reshape(1, -1))[0].view(np.int8)

    async def bench(ctx: Bench) -> None:
        for packed in (0, 1):
            ctx.set(multiplier.packed, packed)
            for weight, (low, high) in zip(data.tolist(), pairs.tolist(), strict=True):
                ctx.set(multiplier.weight, weight)
                for lane in LANES:
                    ctx.set(multiplier.lane, lane)
                    await ctx.tick()
                    if packed:
                        found = ctx.get(multiplier.low), ctx.get(multiplier.high)
                        assert found == (low * lane, high * lane), (low, high, lane)
                    else:
                        assert ctx.get(multiplier.whole) == weight * lane

    assert len(set(data.tolist())) == 256  # so these are all weights of 8 bits, too
    simulate(multiplier, bench)
