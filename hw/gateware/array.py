"""The multiplier array: a column of multipliers and an adder tree for each of M output channels.

Dense, all columns multiply the same word of N lanes, or, paired, the lower halves of two words.  Depthwise, the M / N
columns of a lane multiply that lane of TAPS words, and their sums are added up.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.hdl import Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS, TAPS
from hw.contract.isa import Mode
from hw.contract.paired import PAIR
from hw.contract.weights import gateware_format
from hw.contract.weights.pairs import PAIR_BITS, PRODUCT_BITS
from hw.gateware.expander import expanded_bits

_TREE = 4
"""Registers of the sums: with one addition between each two they are carry chains, where N is at most 16."""
ARRAY_LATENCY = 2 + _TREE
"""From words of activations to their sums: a register at the multipliers, the product, then the sums."""


def sum_bits(config: AcceleratorConfig) -> int:
    """Width of a sum of N products, or of TAPS."""
    return config.derived.lane_bits + config.weight_bits + ceil_log2(max(config.ic_lanes, TAPS))


def depthwise_places(config: AcceleratorConfig) -> int:
    """Places of a depthwise block in the chain of shadow weights, those that round it up to beats among them."""
    beats = gateware_format(config).block_beats(config, Mode.DEPTHWISE)
    return beats * config.axi_bits // (config.ic_lanes * config.weight_bits)


def column_rows(config: AcceleratorConfig) -> int:
    """Multipliers of a column."""
    return max(config.ic_lanes, -(-depthwise_places(config) // config.derived.planes))


def products(config: AcceleratorConfig) -> int:
    """Multipliers of all columns, but for those that always multiply 0: their places have no tap and no dense row."""
    first_tap = column_rows(config) * config.derived.planes - depthwise_places(config)
    first_row = (column_rows(config) - config.ic_lanes) * config.derived.planes
    places = range(column_rows(config) * config.derived.planes)
    return config.ic_lanes * sum(place >= first_row or 0 <= place - first_tap < TAPS for place in places)


def second_bits(config: AcceleratorConfig) -> int:
    """Width of a sum of products with weights of second output groups."""
    return PRODUCT_BITS + ceil_log2(column_rows(config)) + 1


def factor_bits(config: AcceleratorConfig) -> int:
    """Width of what a multiplier takes beside a lane: another one, or two weights."""
    return PRODUCT_BITS + PAIR_BITS + 1 if config.packed else config.derived.lane_bits


def factor(weight: Value, packed: Value) -> Value:
    """What a multiplier takes for a weight of 8 bits, or, packed, for the two of a byte: low + (high << PRODUCT_BITS).

    The byte has the borrow of the low one in its upper half already (`hw.contract.weights.pairs`), which so is one of
    -9 to 7, modulo 16: -9 where it reads as 7 and there is a borrow.
    """
    low, high = weight[:PAIR_BITS], weight[PAIR_BITS : 2 * PAIR_BITS]
    below = high[-1] | (high[:-1].all() & low[-1])
    both = Cat(low, low[-1].replicate(PRODUCT_BITS - PAIR_BITS), high, below).as_signed()
    return Mux(packed, both, weight)


def halves(product: Value) -> tuple[Value, Value]:
    """Of a packed product the upper one, and what it lacks: 1 where the lower one is negative (a number of 2 bits)."""
    return product[PRODUCT_BITS:].as_signed(), Cat(product[PRODUCT_BITS - 1], Const(0, 1))


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
    """One output channel: the products of activations and weights, and their sum.

    Parameters: config.  terms: how many products.  steps: registers of the sum.
    Members: activations (in), weights (in), of each term; the latter of weight_bits, or one lane's data; with `packed`
        in the configuration what `factor` makes of them.  sum (out): of the products.  second (out), with `packed`: of
        the products with the weights of second output groups, where that is what factors are of; then `sum` has beside
        the others, in its lowest bits, these, PRODUCT_BITS higher.
    Protocol: none.
    Latency: 1 for the product, then `steps`.  A sum a cycle.
    """

    def __init__(self, config: AcceleratorConfig, terms: int, steps: int) -> None:
        self.config, self.terms, self.steps = config, terms, steps
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(config.derived.lane_bits), terms)),
                "weights": In(data.ArrayLayout(signed(factor_bits(config)), terms)),
                "sum": Out(signed(sum_bits(config))),
            }
            | ({"second": Out(signed(second_bits(config)))} if config.packed else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        products = []
        bits = self.config.derived.lane_bits + self.config.weight_bits
        whole = 2 * PRODUCT_BITS if self.config.packed else bits
        for i in range(self.terms):
            product = Signal(signed(whole), name=f"product_{i}", reset_less=True)
            m.d.sync += product.eq(self.activations[i] * self.weights[i])
            products.append(product)
        if self.config.packed:
            uppers, borrows = zip(*map(halves, products), strict=True)
            m.d.comb += self.second.eq(tree(m, [*uppers, *borrows], self.steps))
            # Enough for the sum of the lower products, too, once the others are off.
            products = [product[: max(bits, second_bits(self.config))].as_signed() for product in products]
        m.d.comb += self.sum.eq(tree(m, products, self.steps))
        return m


class Array(wiring.Component):
    """M columns, their weights, and the words of taps that a depthwise pass keeps.

    The shadow weights are one chain of places, N weights each; place s is row s // planes of the columns of plane
    s % planes, and a block fills the last places.  So a dense block, which has for each input lane the weights of all
    columns, fills the last N rows of all columns; and a depthwise one, which has for each tap those of N lanes, puts
    the taps of a lane into the columns of that lane, one after the other.

    Dense, row n of all columns multiplies lane n of one word; paired, rows from N / 2 on multiply the lower half of the
    next word.  Depthwise, a multiplier that has a tap's weight multiplies one lane of the tap's word: TAP_COLUMNS
    neighbouring words and, out of the registers at the multipliers, those of the two steps before; tap (r, c) is word c
    of the r-th of these three.  What has no weight multiplies 0.
    Packed, a multiplier takes two weights at once, of two output groups, and its column has two sums: only the lower
    half of what the second one has is in the first one's, so it is taken off there.
    In a product, factors come with the words, in the place of the weights of tap (2, 0).

    Parameters: config.
    Members:
        words (in): N lanes of each of TAP_COLUMNS words; dense, the first is what all columns multiply.
        step (in): there are other words than before; else the multipliers keep what they have.
        depthwise, paired (in): with `step`, what the words are for.  packed (in), in a configuration that has it: with
            `step`, weights are those of two output groups.
        product (in), factors (in): with `step`, there are factors, one for each of N lanes; in all words of a block, or
            in none.
        of_lanes, plane (in): of the sums of the next cycle: they are those of lanes, as channels of that plane, with 0
            in the others; else those of columns.  of_pairs (in), where `packed` is: those of two output groups.
        sums (out): of M output channels.  seconds (out), where `packed` is: of as many of the second output group.
        weights (in), shift (in): the next weights of a block (hw/contract/weights), as the expander says them; when all
            are in, the last places of the shadow weights are that block.
        swap (in): the shadow weights become the active ones.
    Protocol: none; obeys every cycle, `swap` sees the shadow weights as before a `shift` in its cycle.
    Latency: ARRAY_LATENCY; weights that become active meet the words of the cycle of `swap`.  Words a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        word = data.ArrayLayout(signed(d.lane_bits), config.ic_lanes)
        self._block, self.rows = depthwise_places(config), column_rows(config)
        super().__init__(
            {
                "words": In(data.ArrayLayout(word, TAP_COLUMNS)),
                "step": In(1),
                "depthwise": In(1),
                "paired": In(1),
                "product": In(1),
                "factors": In(word),
                "of_lanes": In(1),
                "plane": In(range(d.planes)),
                "weights": In(expanded_bits(config)),
                "shift": In(1),
                "swap": In(1),
                "sums": Out(data.ArrayLayout(signed(sum_bits(config)), config.oc_lanes)),
            }
            | (self._packed_members() if config.packed else {})
        )

    def _packed_members(self) -> dict[str, wiring.Member]:
        seconds = data.ArrayLayout(signed(second_bits(self.config)), self.config.oc_lanes)
        return {"packed": In(1), "of_pairs": In(1), "seconds": Out(seconds)}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, planes = self.config.ic_lanes, self.config.derived.planes
        layout = data.ArrayLayout(signed(self.config.weight_bits), self.rows * self.config.oc_lanes)
        shadow, active = Signal(layout, reset_less=True), Signal(layout, reset_less=True)
        with m.If(self.shift):
            m.d.sync += shadow.eq(Cat(shadow, self.weights)[len(self.weights) :])
        factor_place = self.rows * planes - self._block + TAPS - TAP_COLUMNS
        factors = Signal.like(self.factors, reset_less=True)
        with m.If(self.swap):
            m.d.sync += active.eq(shadow)
            m.d.sync += [factors[lane].eq(shadow[factor_place * lanes + lane]) for lane in range(lanes)]
        with m.If(self.product & self.step):
            m.d.sync += factors.eq(self.factors)

        activations = self._activations(m)
        packed = Signal(reset_less=True)
        if self.config.packed:
            with m.If(self.step):
                m.d.sync += packed.eq(self.packed)
        together = int(planes > 1 or self.config.packed)
        sums, seconds = [], []
        for i in range(self.config.oc_lanes):
            plane, lane = divmod(i, lanes)
            m.submodules[f"column_{i}"] = column = Column(self.config, self.rows, _TREE - together)
            for row in range(self.rows):
                place = row * planes + plane
                weight = factors[lane] if place == factor_place else active[place * lanes + lane]
                if self.config.packed:
                    weight = factor(weight, packed)
                m.d.comb += [column.activations[row].eq(activations[place][lane]), column.weights[row].eq(weight)]
            sums.append(column.sum)
            if self.config.packed:
                seconds.append(column.second)
        if not together:
            m.d.comb += [self.sums[i].eq(value) for i, value in enumerate(sums)]
            return m
        for i, value in enumerate(seconds):
            second = Signal.like(value, name=f"second_{i}", reset_less=True)
            m.d.sync += second.eq(value)
            m.d.comb += self.seconds[i].eq(second)
        for i, value in enumerate(sums):
            plane, lane = divmod(i, lanes)
            total = Signal.like(value, name=f"total_{i}", reset_less=True)
            m.d.comb += self.sums[i].eq(total)
            others = pairwise([*sums[lane:i:lanes], *sums[i + lanes :: lanes]]) if planes > 1 else 0
            with m.If(self.of_lanes & (self.plane != plane)):
                m.d.sync += total.eq(0)
            if self.config.packed:
                with m.Elif(self.of_pairs):
                    m.d.sync += total.eq((value - (seconds[i] << PRODUCT_BITS))[: len(seconds[i])].as_signed())
            with m.Else():
                m.d.sync += total.eq(value + Mux(self.of_lanes, others, 0))
        return m

    def _activations(self, m: Module) -> list[list[Signal]]:
        """Registers at the multipliers: for each place what its N lanes multiply."""
        lanes, planes, newest = self.config.ic_lanes, self.config.derived.planes, TAPS - TAP_COLUMNS
        first_tap, first_row = self.rows * planes - self._block, self.rows - lanes
        shape = signed(self.config.derived.lane_bits)

        def registers(name: str, count: int) -> list[Signal]:
            return [Signal(shape, name=f"{name}_{i}", reset_less=True) for i in range(count)]

        taps = [registers(f"tap_{tap}", lanes) for tap in range(TAPS)]
        shared = registers("lane", lanes)  # of a dense word, where there is no tap
        none = [Signal(shape, name="none")] * lanes
        found = []
        half = lanes // PAIR
        rows = [self.words[0][i] for i in range(lanes)]
        if half:
            rows[half:] = [Mux(self.paired, self.words[1][i], rows[half + i]) for i in range(half)]
        with m.If(self.step):
            m.d.sync += [register.eq(Mux(self.depthwise, 0, row)) for register, row in zip(shared, rows, strict=True)]
        for place in range(self.rows * planes):
            tap, row = place - first_tap, place // planes - first_row
            dense = rows[row] if row >= 0 else 0
            if not 0 <= tap < TAPS:
                found.append([shared[row]] * lanes if row >= 0 else none)
                continue
            for lane, register in enumerate(taps[tap]):
                after = self.words[tap - newest][lane] if tap >= newest else taps[tap + TAP_COLUMNS][lane]
                with m.If(self.step):
                    m.d.sync += register.eq(Mux(self.depthwise, after, dense))
            found.append(taps[tap])
        return found
