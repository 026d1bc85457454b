"""What of the contract a set of programs uses, and what there is to use: whether random programs leave anything out."""

from __future__ import annotations

from collections.abc import Iterable

from hw.contract.isa import FIELDS, Mode, Target
from hw.contract.program import Program

FLAG_BITS = 2
"""A field of at most so many bits is a choice, not a number."""
RESERVED = {("LOAD", "target", 3), ("STORE", "target", len(Target))}
"""Values that mean nothing."""
Choice = tuple[str, str, int]
"""Opcode, field, value."""


def choices() -> set[Choice]:
    """All that an instruction can be told to do one way or another."""
    flags = {
        (opcode.name, field.name, value)
        for opcode, fields in FIELDS.items()
        for field in fields
        if field.bits <= FLAG_BITS
        for value in range(1 << field.bits)
    }
    listed = {("CONV", "blocks", value) for value in range(2)}
    return (flags | listed | {("SETUP", "mode", int(mode)) for mode in Mode}) - RESERVED


def reached(programs: Iterable[Program]) -> set[Choice]:
    """Those of `choices` that instructions of programs make."""
    wanted = choices()
    fields = {(opcode, field) for opcode, field, _ in wanted}
    return {
        (opcode, field, value)
        for program in programs
        for instruction in program.decode()
        for opcode, field in fields
        if opcode == instruction.opcode.name
        for value in [int(getattr(instruction, field))]
        for value in [min(value, 1) if field == "blocks" else value]  # a number, which is there or not
    }


def operators(programs: Iterable[Program]) -> set[str]:
    """The operators of layers of programs."""
    return {layer.op for program in programs for layer in program.layers}
