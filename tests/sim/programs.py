"""Programs with something changed, for tests of what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import Instruction, LoadInstruction, Opcode, StoreInstruction, Target
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


def rewritten(program: Program, instructions: list[Instruction]) -> Program:
    """A program with other instructions, which have room for theirs before the weights."""
    code = b"".join(instruction.encode() for instruction in instructions)
    end = program.program_base + len(code)
    image = program.image[: program.program_base] + code + program.image[end:]
    return replace(program, image=image, instructions=len(instructions))


def with_copies(program: Program, target: Target, before: bool = True) -> Program:
    """A handmade program that stores all results on the chip, too, where nothing else lies: before or behind each STORE
    to memory."""
    d, depth = program.config.derived, program.config.activation_depth
    half = (depth if target is Target.ACTIVATION else program.config.residual_depth) // 2
    found: list[Instruction] = []
    for i in program.decode():
        if not isinstance(i, StoreInstruction):
            found.append(i)
            continue
        low = i.base % d.words_per_beat
        plane = -(-(low + i.words) // d.words_per_beat) * d.words_per_beat * d.word_bytes
        local = replace(i, target=target, address=(half + low) * d.word_bytes, plane_pitch=plane)
        if target is Target.RESIDUAL:
            local = replace(local, plane_pitch=0)
        first, second = (local, i) if before else (i, local)
        found += [replace(first, signal=0), replace(second, wait=0)]
    return rewritten(program, found)


def with_a_load(program: Program, wait: int) -> Program:
    """A program with another LOAD to the activation buffer at its end.  wait: for whom, who must then signal it."""
    instructions = list(program.decode())
    load = next(i for i in instructions if isinstance(i, LoadInstruction))
    if wait:
        instructions[-1] = replace(instructions[-1], signal=instructions[-1].signal | 1 << load.opcode.unit)
    return rewritten(program, [*instructions, replace(load, destination=0, rows=1, beats=1, wait=wait, signal=0)])
