"""The walk of a pass: from pixel to pixel, one column of them after the other."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.depthwise import TAP_ROWS
from hw.gateware.window import POINT, time_slot

WALK = data.StructLayout(
    {
        "rows": 12,
        "columns": 12,
        "row_address": BUFFER_ADDRESS_BITS,
        "row_distance": 5,
        "column_step": 5,
        "slides": 1,
        "between": 5,
        "meet": 1,
    }
)
"""A walk over rows x columns pixels, down each column.

A column is made of positions, each `row_address` words and `row_distance` input rows below the one before; from column
to column there are `column_step` words, and so many input columns.  Where a pass slides over rows of taps
(hw/contract/depthwise.py), a column begins TAP_ROWS - 1 positions before its first pixel, and `between` positions lie
between two of its pixels; and with `meet` the last position of a column is the first one of the next.
"""


class Pixels(wiring.Component):
    """Walks over the pixels of a pass in a slot of time: a position a cycle (or two), then nothing until the slot is
    long enough.

    Parameters: config.  longest, the largest `minimum`.
    Members:
        load (in): the next cycle is the first of a slot; only while idle or with `end`.
        start, walk (in): taken with `load`: where the first position is, rows and columns at least 1.
        slow, minimum (in): taken with `load`: two cycles a position; least cycles of the slot, at least 1.
        point, position (out): there is a position, in this cycle.  pixel (out): and it completes a pixel.
        index (out): which one, counted row by row.
        end (out): the slot's last cycle.  busy (out): a slot is under way.
    Protocol: no back-pressure.
    Latency: the first position in the cycle after `load`; slots follow one another without gaps.
    """

    def __init__(self, config: AcceleratorConfig, longest: int) -> None:
        self.longest = longest
        super().__init__(
            {
                "walk": In(WALK),
                "load": In(1),
                "start": In(POINT),
                "slow": In(1),
                "minimum": In(range(longest + 1)),
                "point": Out(POINT),
                "position": Out(1),
                "pixel": Out(1),
                "index": Out(exact_log2(config.partial_sum_depth)),
                "end": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A slot ends when its positions are walked *and* its minimum is over, whichever comes later: the two count side
        # by side, so that neither adds a cycle to the other.
        pending = Signal()  # positions are left
        slow = Signal(reset_less=True)  # two cycles a position
        second = Signal()  # and this is the second one
        step = Signal()  # the walk steps: positions are left, and of a slow one this is the second cycle
        walked = Signal()  # with this cycle no position is left
        completes = Signal()  # the position completes a pixel
        last = Signal()  # and that is the last one

        m.d.comb += [
            walked.eq(~pending | (step & last)),
            self.position.eq(pending & ~second),
            self.pixel.eq(self.position & completes),
        ]
        with m.If(self.load):
            m.d.sync += [slow.eq(self.slow), second.eq(0), step.eq(~self.slow)]
        with m.Else():
            m.d.sync += [second.eq(pending & slow & ~second), step.eq(pending & ~walked & ~(slow & second))]
        time_slot(m, self, pending, walked)
        self._walk(m, step, completes, last)
        return m

    def _walk(self, m: Module, step: Signal, completes: Signal, last: Signal) -> None:
        """From position to position; what a position is, is known when it comes, since much hangs on it."""
        walk = Signal(WALK, reset_less=True)
        point = Signal(POINT, reset_less=True)
        # The first position of the next column is found from that of this one.
        top_address = Signal.like(point.address, reset_less=True)
        top_row = Signal.like(point.row, reset_less=True)
        first = Signal(reset_less=True)  # this is the first position of all
        turn = Signal(reset_less=True)  # it is the last one of its column
        skip = Signal(range(max(TAP_ROWS - 1, 1 << len(walk.between))), reset_less=True)  # so many until the next pixel
        last_row = Signal(reset_less=True)  # no pixel is left in this column after the next, or the present one
        last_column = Signal(reset_less=True)
        rows_left = Signal.like(walk.rows, reset_less=True)
        columns_left = Signal.like(walk.columns, reset_less=True)
        index = Signal.like(self.index, reset_less=True)
        top_index = Signal.like(index, reset_less=True)
        following = Signal(POINT)
        below, beside = Signal.like(index), Signal.like(index)

        m.d.comb += [
            self.point.eq(point),
            self.index.eq(index),
            completes.eq(skip == 0),
            last.eq(turn & last_column),
            following.address.eq(Mux(turn, top_address, point.address) + Mux(turn, walk.column_step, walk.row_address)),
            following.row.eq(Mux(turn, top_row, point.row + walk.row_distance)),
            following.column.eq(point.column + Mux(turn, walk.column_step, 0)),
            below.eq(index + walk.columns),
            beside.eq(top_index + 1),
        ]
        ahead = TAP_ROWS - 1
        # Where nothing is under way it does not matter what this shows, and `load` comes late.
        with m.If(~self.busy | self.end):
            m.d.sync += [
                walk.eq(self.walk),
                point.eq(self.start),
                top_address.eq(self.start.address),
                top_row.eq(self.start.row),
                first.eq(1),
                skip.eq(Mux(self.walk.slides, ahead, 0)),
                turn.eq((self.walk.rows == 1) & ~self.walk.slides),
                rows_left.eq(self.walk.rows - 1),
                last_row.eq(self.walk.rows == 1),
                columns_left.eq(self.walk.columns - 1),
                last_column.eq(self.walk.columns == 1),
                index.eq(0),
                top_index.eq(0),
            ]
        with m.Elif(step):
            m.d.sync += [point.eq(following), first.eq(0)]
            with m.If(first & walk.meet):
                m.d.sync += [top_address.eq(following.address), top_row.eq(following.row)]
            with m.If(turn):
                m.d.sync += [
                    top_address.eq(following.address),
                    skip.eq(Mux(walk.slides, ahead - walk.meet, 0)),
                    turn.eq((walk.rows == 1) & ~walk.slides),
                    rows_left.eq(walk.rows - 1),
                    last_row.eq(walk.rows == 1),
                    columns_left.eq(columns_left - 1),
                    last_column.eq(columns_left == 1),
                    index.eq(beside),
                    top_index.eq(beside),
                ]
            with m.Elif(completes):
                m.d.sync += [
                    skip.eq(walk.between),
                    turn.eq((rows_left == 1) & (walk.between == 0)),
                    rows_left.eq(rows_left - 1),
                    last_row.eq(rows_left == 1),
                    index.eq(below),
                ]
            with m.Else():
                m.d.sync += [skip.eq(skip - 1), turn.eq((skip == 1) & last_row)]
