"""Window addresses: walks over rows and columns of a buffer, one point a cycle, without multipliers."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import BUFFER_ADDRESS_BITS
from hw.contract.depthwise import TAP_COLUMNS, TAP_ROWS

COORDINATE_BITS = 18
"""Holds every input row or column that an instruction's fields can name, padding included: at most 4094 strides of 31
and 254 dilations of 63 from the map's edge.  One above or left of the map, below 0, wraps around to a number that is
larger than all of those; so one comparison with the map's size finds both sides of the padding."""

POINT = data.StructLayout({"address": BUFFER_ADDRESS_BITS, "row": COORDINATE_BITS, "column": COORDINATE_BITS})
"""A place: its word address in a buffer and its row and column in the input; all wrap around."""

STEPS = data.StructLayout(
    {
        "rows": 12,
        "columns": 12,
        "rows_each": range(TAP_ROWS + 1),
        "columns_each": range(TAP_COLUMNS + 1),
        "row_address": BUFFER_ADDRESS_BITS,
        "column_address": BUFFER_ADDRESS_BITS,
        "row_distance": 8,
        "column_distance": 6,
    }
)
"""A walk: how many rows and columns, how many of them a point stands for, and what each point adds to the address and
to the row or column of the one before."""


class Raster(wiring.Component):
    """Walks over the points of `steps.rows` x `steps.columns`, columns first; a point stands for `rows_each` x
    `columns_each` of them, or for what is left.

    Parameters: none.
    Members:
        steps (in): the walk, rows and columns at least 1; stable from `load` to the last point.
        load, start (in): the next cycle shows the first point, `start`.
        step (in): the next cycle shows the next point; `load` wins.  Not after the last point.
        point (out): the present one.  following (out): the one that `step` leads to.
        last (out): the present point is the last one.
    Protocol: none; obeys every cycle.
    Latency: one cycle; a point a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "steps": In(STEPS),
                "load": In(1),
                "start": In(POINT),
                "step": In(1),
                "point": Out(POINT),
                "following": Out(POINT),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        following = self.following
        point = Signal(POINT, reset_less=True)
        steps = self.steps
        first_column = Signal.like(point.column, reset_less=True)
        # Of the present row's first point: the next row is found from there.
        row_address = Signal.like(point.address, reset_less=True)
        columns_left = Signal.like(steps.columns, reset_less=True)  # after this point
        rows_left = Signal.like(steps.rows, reset_less=True)  # after this row
        # Whether none are left is known when the point comes: the choice of the next address stands before a buffer's
        # address, and a comparison before the choice would be too much in one cycle.
        last_column = Signal(reset_less=True)
        last_row = Signal(reset_less=True)

        m.d.comb += [
            self.point.eq(point),
            self.last.eq(last_column & last_row),
            following.address.eq(
                Mux(last_column, row_address, point.address) + Mux(last_column, steps.row_address, steps.column_address)
            ),
            following.row.eq(point.row + Mux(last_column, steps.row_distance, 0)),
            following.column.eq(Mux(last_column, first_column, point.column + steps.column_distance)),
        ]
        with m.If(self.load):
            m.d.sync += [
                point.eq(self.start),
                first_column.eq(self.start.column),
                row_address.eq(self.start.address),
                columns_left.eq(steps.columns - steps.columns_each),
                rows_left.eq(steps.rows - steps.rows_each),
                last_column.eq(steps.columns <= steps.columns_each),
                last_row.eq(steps.rows <= steps.rows_each),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                point.eq(following),
                columns_left.eq(columns_left - steps.columns_each),
                last_column.eq(columns_left <= steps.columns_each),
            ]
            with m.If(last_column):
                m.d.sync += [
                    row_address.eq(following.address),
                    columns_left.eq(steps.columns - steps.columns_each),
                    last_column.eq(steps.columns <= steps.columns_each),
                    rows_left.eq(rows_left - steps.rows_each),
                    last_row.eq(rows_left <= steps.rows_each),
                ]
        return m


class Taps(wiring.Component):
    """Walks over the taps of a kernel, or blocks of them, once for each of a number of input groups.

    Parameters: planes, how many groups are told apart.
    Members:
        load (in): the next cycle shows the first tap of group 0, `start` (in).  groups (in): how many, at least 1.
        listed (in): a group has one tap, whatever the kernel, and who counts so knows where it lies; stable as `steps`.
        steps, group_step (in): the kernel; words from group to group; stable from `load` to the last tap.
        step (in): the next cycle shows the next tap; no matter after the last.
        point (out): the first pixel of the present tap.  group (out): its group, modulo `planes`.
        first, last (out): of all.
    Protocol: none; obeys every cycle.
    Latency: one cycle; a tap a cycle.
    """

    def __init__(self, planes: int) -> None:
        super().__init__(
            {
                "steps": In(STEPS),
                "load": In(1),
                "start": In(POINT),
                "groups": In(12),
                "listed": In(1),
                "group": Out(range(planes)),
                "group_step": In(BUFFER_ADDRESS_BITS),
                "step": In(1),
                "point": Out(POINT),
                "first": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.raster = raster = Raster()
        # A group's taps are those of the group before, `group_step` words further: the raster starts over from there.
        group = Signal(POINT, reset_less=True)
        next_group = Signal(POINT)
        groups_left = Signal.like(self.groups, reset_less=True)  # after this one
        last_group = Signal(reset_less=True)  # there are none
        last_tap = Signal()  # of its group
        m.d.comb += [
            next_group.eq(group),
            next_group.address.eq(group.address + self.group_step),
            raster.steps.eq(self.steps),
            raster.load.eq(self.load | (self.step & raster.last)),
            raster.start.eq(Mux(self.load, self.start, next_group)),
            raster.step.eq(self.step),
            self.point.eq(raster.point),
            last_tap.eq(raster.last | self.listed),
            self.last.eq(last_tap & last_group),
        ]
        with m.If(self.load):
            m.d.sync += [
                group.eq(self.start),
                groups_left.eq(self.groups - 1),
                last_group.eq(self.groups == 1),
                self.group.eq(0),
                self.first.eq(1),
            ]
        with m.Elif(self.step):
            m.d.sync += self.first.eq(0)
            with m.If(last_tap):
                m.d.sync += [
                    group.eq(next_group),
                    groups_left.eq(groups_left - 1),
                    last_group.eq(groups_left == 1),
                    self.group.eq(self.group + 1),
                ]
        return m


def time_slot(m: Module, slot: wiring.Component, pending: Signal, walked: Signal) -> None:
    """How long a slot lasts: until all of it is walked and its minimum is over.

    slot: its `load`, `minimum`, `busy`, `end`.  pending: something is left to walk; a register, set here.  walked: with
    this cycle nothing is.  The end moves much, so what it depends on are registers.
    """
    left = Signal.like(slot.minimum, reset_less=True)  # cycles that the slot has to last after this one
    over = Signal()  # none, in a slot
    m.d.comb += slot.end.eq(over & walked)
    with m.If(slot.load):
        m.d.sync += [slot.busy.eq(1), pending.eq(1), left.eq(slot.minimum - 1), over.eq(slot.minimum <= 1)]
    with m.Else():
        with m.If(slot.end):
            m.d.sync += [slot.busy.eq(0), over.eq(0)]
        with m.Elif(slot.busy):
            m.d.sync += over.eq(left <= 1)
        with m.If(walked):
            m.d.sync += pending.eq(0)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)


class Slots(wiring.Component):
    """Walks a raster in a slot of time: a point a cycle, then nothing until the slot is long enough.

    Parameters: longest, the largest `minimum`.
    Members:
        load (in): the next cycle is the first of a slot; only while idle or with `end`.
        start (in): taken with `load`.  steps (in): as in `Raster`.
        minimum (in): taken with `load`: least cycles of the slot, at least 1.
        point, valid (out): a point, in this cycle.  first, last (out): of the slot.
        end (out): the slot's last cycle.  busy (out): a slot is under way.
    Protocol: no back-pressure.
    Latency: the first point in the cycle after `load`; slots follow one another without gaps.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        super().__init__(
            {
                "steps": In(STEPS),
                "load": In(1),
                "start": In(POINT),
                "minimum": In(range(longest + 1)),
                "point": Out(POINT),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "end": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.raster = raster = Raster()
        # A slot ends when its points are walked *and* its minimum is over, whichever comes later: the two count side by
        # side, so that neither adds a cycle to the other.
        pending = Signal()  # points are left
        walked = Signal()  # with this cycle no point is left

        m.d.comb += [
            raster.steps.eq(self.steps),
            # Where nothing is under way it does not matter what the raster shows, and `load` comes late.
            raster.load.eq(~self.busy | self.end),
            raster.start.eq(self.start),
            raster.step.eq(pending),
            walked.eq(~pending | raster.last),
            self.point.eq(raster.point),
            self.valid.eq(pending),
            self.last.eq(raster.last),
        ]
        with m.If(self.load):
            m.d.sync += self.first.eq(1)
        with m.Elif(pending):
            m.d.sync += self.first.eq(0)
        time_slot(m, self, pending, walked)
        return m
