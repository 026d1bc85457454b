"""Views of instructions: a 256-bit instruction as the fields of its opcode."""

from __future__ import annotations

from functools import cache

from amaranth import Shape
from amaranth.lib import data

from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import LAYOUTS, Opcode
from hw.contract.widths import BYTE_BITS

INSTRUCTION_BITS = BYTE_BITS * INSTRUCTION_BYTES
"""Width of an instruction on wires."""


@cache
def fields(opcode: Opcode) -> data.FlexibleLayout:
    """The layout of an instruction of this opcode, header included; signed fields are signed.

    `data.View(fields(Opcode.CONV), instruction).out_rows` is that field of `instruction`.
    """
    return data.FlexibleLayout(
        INSTRUCTION_BITS,
        {
            name: data.Field(Shape(field.bits, field.signed), offset)
            for name, (field, offset) in LAYOUTS[opcode].items()
        },
    )
