"""Programs with something changed, for tests of what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import Instruction, Opcode
from hw.contract.program import Program


def edited(program: Program, change: Callable[[int, Instruction], dict[str, int] | None]) -> Program:
    """A program whose instructions have new field values: those that `change(index, instruction)` returns."""
    image = bytearray(program.image)
    for index, instruction in enumerate(program.decode()):
        if values := change(index, instruction):
            start = program.program_base + index * INSTRUCTION_BYTES
            image[start : start + INSTRUCTION_BYTES] = replace(instruction, **values).encode()
    return replace(program, image=bytes(image))


def first(program: Program, opcode: Opcode, **values: int) -> Program:
    """A program whose first instruction of this opcode has new field values."""
    index = next(k for k, i in enumerate(program.decode()) if i.opcode == opcode)
    return edited(program, lambda k, _: values if k == index else None)
