"""The multiplier array: a column of N multipliers and an adder tree for each of M output channels.

Depthwise, a column is a tap instead, and the products of each of its N lanes are added to those of the other taps.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.hdl import ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAPS

ARRAY_LATENCY = 4
"""From a word of activations to its sums: the product, then the tree in three steps."""


def sum_bits(config: AcceleratorConfig) -> int:
    """Width of a sum of N products, or of TAPS."""
    return config.derived.lane_bits + config.weight_bits + ceil_log2(max(config.ic_lanes, TAPS))


def tree(m: Module, terms: list[Signal], steps: int) -> Signal:
    """The sum of signed terms after `steps` registers, about as many additions deep between each two."""
    for step in range(steps, 0, -1):
        depth = -(-ceil_log2(len(terms)) // step)
        groups = [terms[i : i + (1 << depth)] for i in range(0, len(terms), 1 << depth)]
        terms = []
        for group in groups:
            total = Signal(signed(len(group[0]) + ceil_log2(len(group))), reset_less=True)
            m.d.sync += total.eq(pairwise(group))
            terms.append(total)
    return terms[0]


def pairwise(terms: list[Signal]) -> ValueLike:
    """The sum of terms as a balanced expression."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return pairwise(terms[:half]) + pairwise(terms[half:])


class Column(wiring.Component):
    """One output channel: N weights twice (active, shadow), N multipliers, an adder tree.

    Parameters: config.
    Members:
        activations (in): N lanes.  products (out): with the active weights.  sum (out): these, added up.
        weights_in (in), shift (in): the shadow weights move down, `weights_in` follows at the top.
        weights_out (out): what leaves them at the bottom.
        swap (in): the shadow weights become the active ones.
    Protocol: none; obeys every cycle, `swap` sees the shadow weights as before a `shift` in its cycle.
    Latency: ARRAY_LATENCY, of products 1; weights are active in the cycle after `swap`.  A word a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        part = min(config.ic_lanes * config.weight_bits, config.axi_bits)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(d.lane_bits), config.ic_lanes)),
                "weights_in": In(part),
                "weights_out": Out(part),
                "shift": In(1),
                "swap": In(1),
                "products": Out(data.ArrayLayout(signed(d.lane_bits + config.weight_bits), config.ic_lanes)),
                "sum": Out(signed(sum_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, bits = self.config.ic_lanes, self.config.weight_bits
        shadow = Signal(lanes * bits, reset_less=True)
        active = Signal(data.ArrayLayout(signed(bits), lanes), reset_less=True)
        m.d.comb += self.weights_out.eq(shadow)
        with m.If(self.shift):
            m.d.sync += shadow.eq(Cat(shadow, self.weights_in)[len(self.weights_in) :])
        with m.If(self.swap):
            m.d.sync += active.eq(shadow)

        products = []
        for i in range(lanes):
            product = Signal(signed(self.config.derived.lane_bits + bits), name=f"product_{i}", reset_less=True)
            m.d.sync += product.eq(self.activations[i] * active[i])
            products.append(product)
        m.d.comb += self.products.eq(Cat(products))
        m.d.comb += self.sum.eq(tree(m, products, ARRAY_LATENCY - 1))
        return m


class Array(wiring.Component):
    """M columns that see the same activations; or TAPS, each of which sees those of its tap.

    Where there are fewer columns than taps, some more that are no output channel's stand before them.
    Parameters: config.
    Members:
        activations (in): N lanes, of each tap; those of tap 0 are what columns see that are no tap's.
        depthwise, plane (in): which sums leave in this cycle: those of each column, or of each lane as channels of that
            plane, with 0 in the others.
        sums (out): of M output channels.
        weights (in), shift (in): the next beat of a weight block (hw/contract/weights); when all are in, the shadow
            weights of the last columns are that block, a row each.
        swap (in): the shadow weights become the active ones.
    Protocol: none; obeys every cycle, `swap` sees the shadow weights as before a `shift` in its cycle.
    Latency: ARRAY_LATENCY; weights are active in the cycle after `swap`.  A word of each tap a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        word = data.ArrayLayout(signed(d.lane_bits), config.ic_lanes)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(word, TAPS)),
                "depthwise": In(1),
                "plane": In(range(d.planes)),
                "weights": In(config.axi_bits),
                "shift": In(1),
                "swap": In(1),
                "sums": Out(data.ArrayLayout(signed(sum_bits(config)), config.oc_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outputs, lanes, together = self.config.oc_lanes, self.config.ic_lanes, self.config.derived.words_per_beat
        taps = -(-TAPS // together) * together  # the rows of a block's whole beats
        columns = [Column(self.config) for _ in range(max(outputs, taps))]
        # The shadow weights of all columns are one chain, a beat long at its top end.
        width = len(columns[0].weights_in)
        sources = [column.weights_out for column in columns[together:]]
        sources += [self.weights.word_select(i, width) for i in range(together)]
        for i, (column, source) in enumerate(zip(columns, sources, strict=True)):
            tap = i - (len(columns) - taps)
            m.submodules[f"column_{i}"] = column
            m.d.comb += [
                column.activations.eq(self.activations[tap if 0 <= tap < TAPS else 0]),
                column.weights_in.eq(source),
                column.shift.eq(self.shift),
                column.swap.eq(self.swap),
            ]
        by_tap = columns[-taps:][:TAPS]
        by_lane = [tree(m, [column.products[i] for column in by_tap], ARRAY_LATENCY - 1) for i in range(lanes)]
        for i, column in enumerate(columns[-outputs:]):
            plane, lane = divmod(i, lanes)
            total = Mux(self.plane == plane, by_lane[lane], 0)
            m.d.comb += self.sums[i].eq(Mux(self.depthwise, total, column.sum))
        return m
