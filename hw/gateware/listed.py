"""Where the taps of listed weight blocks lie."""

from __future__ import annotations

from amaranth import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import BUFFER_ADDRESS_BITS
from hw.contract.weights.listed import COLUMN_BITS, GROUP_BITS, ROW_BITS
from hw.gateware.window import POINT

TAG = data.StructLayout({"column": COLUMN_BITS, "row": ROW_BITS, "group": GROUP_BITS})
"""Which block of its CONV one is (hw/contract/weights/listed.py)."""


class ListedTap(wiring.Component):
    """From the tag of a weight block to the first pixel of its tap.

    Parameters: none.
    Members:
        tag (in): of the block.
        start (in): the first pixel of the first tap of group 0.
        group_step, row_step (in): words from group to group, from tap row to tap row.
        point (out): that of the tag's tap; taps are neighbours.
    Protocol: none.
    Latency: one cycle from `tag` and the steps, none from `start`.  A point a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "tag": In(TAG),
                "start": In(POINT),
                "group_step": In(BUFFER_ADDRESS_BITS),
                "row_step": In(BUFFER_ADDRESS_BITS),
                "point": Out(POINT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tag = Signal(TAG, reset_less=True)
        group = Signal(unsigned(BUFFER_ADDRESS_BITS), reset_less=True)
        row = Signal.like(group)
        m.d.sync += [
            tag.eq(self.tag),
            group.eq(self.tag.group * self.group_step),
            row.eq(self.tag.row * self.row_step),
        ]
        m.d.comb += [
            self.point.address.eq((self.start.address + group) + (row + tag.column)),
            self.point.row.eq(self.start.row + tag.row),
            self.point.column.eq(self.start.column + tag.column),
        ]
        return m
