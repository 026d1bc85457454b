"""The multiplier array: a column of N multipliers and an adder tree for each of M output channels."""

from __future__ import annotations

from amaranth import Cat, Module, Signal, signed
from amaranth.hdl import ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.contract.config import AcceleratorConfig

ARRAY_LATENCY = 4
"""From a word of activations to its sums: the product, then the tree in three steps."""


def sum_bits(config: AcceleratorConfig) -> int:
    """Width of a sum of N products."""
    return config.derived.lane_bits + config.weight_bits + ceil_log2(config.ic_lanes)


def tree(m: Module, terms: list[Signal], steps: int) -> Signal:
    """The sum of signed terms after `steps` registers, about as many additions deep between each two."""
    for step in range(steps, 0, -1):
        depth = -(-ceil_log2(len(terms)) // step)
        groups = [terms[i : i + (1 << depth)] for i in range(0, len(terms), 1 << depth)]
        terms = []
        for group in groups:
            total = Signal(signed(len(group[0]) + ceil_log2(len(group))))
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
        activations (in): N lanes.  sum (out): their products with the active weights, added up.
        weights_in (in), shift (in): the shadow weights move down, `weights_in` follows at the top.
        weights_out (out): what leaves them at the bottom.
        swap (in): the shadow weights become the active ones.
    Protocol: none; obeys every cycle, `swap` sees the shadow weights as before a `shift` in its cycle.
    Latency: ARRAY_LATENCY; weights are active in the cycle after `swap`.  A word a cycle.
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
                "sum": Out(signed(sum_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, bits = self.config.ic_lanes, self.config.weight_bits
        shadow = Signal(lanes * bits)
        active = Signal(data.ArrayLayout(signed(bits), lanes))
        m.d.comb += self.weights_out.eq(shadow)
        with m.If(self.shift):
            m.d.sync += shadow.eq(Cat(shadow, self.weights_in)[len(self.weights_in) :])
        with m.If(self.swap):
            m.d.sync += active.eq(shadow)

        products = []
        for i in range(lanes):
            product = Signal(signed(self.config.derived.lane_bits + bits), name=f"product_{i}")
            m.d.sync += product.eq(self.activations[i] * active[i])
            products.append(product)
        m.d.comb += self.sum.eq(tree(m, products, ARRAY_LATENCY - 1))
        return m


class Array(wiring.Component):
    """M columns that see the same activations.

    Parameters: config.
    Members:
        activations (in): N lanes.  sums (out): of each column.
        weights (in), shift (in): the next beat of a weight block (hw/contract/layout.py); when all are in,
            the shadow weights are that block.
        swap (in): the shadow weights become the active ones.
    Protocol: none; obeys every cycle, `swap` sees the shadow weights as before a `shift` in its cycle.
    Latency: ARRAY_LATENCY; weights are active in the cycle after `swap`.  A word a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(d.lane_bits), config.ic_lanes)),
                "weights": In(config.axi_bits),
                "shift": In(1),
                "swap": In(1),
                "sums": Out(data.ArrayLayout(signed(sum_bits(config)), config.oc_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = [Column(self.config) for _ in range(self.config.oc_lanes)]
        # The shadow weights of all columns are one chain, a beat long at its top end.
        width = len(columns[0].weights_in)
        together = self.config.derived.words_per_beat
        sources = [column.weights_out for column in columns[together:]]
        sources += [self.weights.word_select(i, width) for i in range(together)]
        for i, (column, source) in enumerate(zip(columns, sources, strict=True)):
            m.submodules[f"column_{i}"] = column
            m.d.comb += [
                column.activations.eq(self.activations),
                column.weights_in.eq(source),
                column.shift.eq(self.shift),
                column.swap.eq(self.swap),
                self.sums[i].eq(column.sum),
            ]
        return m
