"""The register map: gateware, driver, C header and docs/registers.md come from this table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, PAGE_BYTES
from hw.contract.isa import Unit
from hw.contract.widths import bytes_of

IDENTIFICATION = 0x53504831
"""'SPH1': what the ID register reads as."""


class ErrorCause(IntEnum):
    """Why the engine stopped; read from ERROR_CAUSE."""

    NONE = 0
    READ_BUS = 1
    WRITE_BUS = 2
    ILLEGAL_INSTRUCTION = 3
    OUTSIDE_WINDOW = 4
    START_WHILE_BUSY = 5
    TOKEN_OVERFLOW = 6
    WATCHDOG = 7


@dataclass(frozen=True)
class Cause:
    """What an error is, and what ERROR_ADDRESS then holds."""

    meaning: str
    address: Literal["byte address of the burst", "index of the instruction", "index of one that waits", "0"]


CAUSES = {
    ErrorCause.NONE: Cause("no error", "0"),
    ErrorCause.READ_BUS: Cause("read bus error", "byte address of the burst"),
    ErrorCause.WRITE_BUS: Cause("write bus error", "byte address of the burst"),
    ErrorCause.ILLEGAL_INSTRUCTION: Cause("illegal instruction", "index of the instruction"),
    ErrorCause.OUTSIDE_WINDOW: Cause("access outside the memory window", "byte address of the burst"),
    ErrorCause.START_WHILE_BUSY: Cause("started while it was busy", "0"),
    ErrorCause.TOKEN_OVERFLOW: Cause("more tokens pending than a semaphore holds", "0"),
    ErrorCause.WATCHDOG: Cause("nothing moved for as long as WATCHDOG allows", "index of one that waits"),
}

REGISTER_BITS = 32
"""Width of every register."""
LARGEST_WINDOW = (1 << REGISTER_BITS) - PAGE_BYTES
"""Bytes: whole pages, as many as WINDOW_LIMIT can say."""
NONE_WAITS = (1 << REGISTER_BITS) - 1
"""ERROR_ADDRESS after WATCHDOG where the memory owes an answer: no instruction is to blame."""


@dataclass(frozen=True)
class RegisterField:
    """Some bits of a register: name, lowest bit, width, meaning."""

    name: str
    bit: int
    width: int
    doc: str

    @property
    def mask(self) -> int:
        """Its bits, set, where they stand in the register."""
        return ((1 << self.width) - 1) << self.bit


@dataclass(frozen=True)
class Register:
    """A register of REGISTER_BITS: name, byte offset, access (ro, rw, wo, w1c), meaning, fields.

    One without fields is a number of all its bits.  Bits that belong to no field of another do not exist: they
    read as 0.
    """

    name: str
    offset: int
    access: Literal["ro", "rw", "wo", "w1c"]
    doc: str
    fields: tuple[RegisterField, ...] = ()

    @property
    def exist(self) -> int:
        """The bits that exist, set."""
        return sum(field.mask for field in self.fields) or (1 << REGISTER_BITS) - 1

    def field(self, name: str) -> RegisterField:
        """A field by name; raises KeyError."""
        return {field.name: field for field in self.fields}[name]


def _flags(*flags: tuple[str, str]) -> tuple[RegisterField, ...]:
    """Fields of one bit each, from bit 0 upwards: name and meaning."""
    return tuple(RegisterField(name, bit, 1, doc) for bit, (name, doc) in enumerate(flags))


def _multiple(of: int, doc: str) -> tuple[RegisterField, ...]:
    """The field of a number of bytes that is a multiple of a power of two: its low bits do not exist."""
    low = of.bit_length() - 1
    return (RegisterField("bytes", low, REGISTER_BITS - low, f"{doc}, a multiple of {of}"),)


_FIXED: tuple[tuple[str, str, str, tuple[RegisterField, ...]], ...] = (
    ("ID", "ro", f"{IDENTIFICATION:#x}, the letters SPH1", ()),
    ("CONFIG_HASH", "ro", "first 32 bits of the configuration's SHA-256", ()),
    (
        "CONTROL",
        "wo",
        "acts on the bits written as one",
        _flags(
            ("start", "start; ignored while STATUS.error is set; while busy the run goes on and ends with error 5"),
            ("reset", "reset the engine, clearing an error; effective once no transfer is under way"),
        ),
    ),
    (
        "STATUS",
        "ro",
        "where the run is",
        _flags(("busy", "a run is under way"), ("done", "done since the last start"), ("error", "ended with an error")),
    ),
    (
        "INTERRUPT_ENABLE",
        "rw",
        "which bits of INTERRUPT raise the interrupt line",
        _flags(("done", "interrupt when done"), ("error", "interrupt on an error")),
    ),
    (
        "INTERRUPT",
        "w1c",
        "what happened; the interrupt line is high while an enabled bit is set",
        _flags(("done", "a run is done"), ("error", "a run ended with an error")),
    ),
    (
        "ERROR_CAUSE",
        "ro",
        "why the engine stopped, see the causes",
        (RegisterField("cause", 0, max(ErrorCause).bit_length(), "one of the causes"),),
    ),
    ("ERROR_ADDRESS", "ro", "where: what the cause says", ()),
    (
        "PROGRAM_BASE",
        "rw",
        "where the program begins in the window",
        _multiple(FETCH_BURST * INSTRUCTION_BYTES, "byte offset of the first instruction"),
    ),
    ("PROGRAM_LENGTH", "rw", "number of instructions", ()),
    ("WINDOW_BASE", "rw", "where the memory window begins", _multiple(PAGE_BYTES, "byte address")),
    ("WINDOW_LIMIT", "rw", "size of the memory window", _multiple(PAGE_BYTES, "bytes")),
    ("CYCLES", "ro", "cycles of the last run: those in which STATUS.busy was 1", ()),
    ("BYTES_READ", "ro", "bytes of read beats, instructions included", ()),
    ("BYTES_WRITTEN", "ro", "bytes of write beats, by strobe", ()),
)

STALL_CAUSES = ("instruction", "load", "compute", "pool", "store")
"""What a unit waits for: its next instruction, or a token from another unit."""


def _table() -> tuple[Register, ...]:
    rows = list(_FIXED)
    for unit in Unit:
        doc = f"cycles in which the {unit.name.lower()} unit had work under way"
        rows.append((f"BUSY_{unit.name}", "ro", doc, ()))
    for unit in Unit:
        for cause in STALL_CAUSES:
            if cause != unit.name.lower():
                what = "its next instruction" if cause == "instruction" else f"a token from the {cause} unit"
                doc = f"cycles in which the {unit.name.lower()} unit could have started but waited for {what}"
                rows.append((f"STALL_{unit.name}_{cause.upper()}", "ro", doc, ()))
    # Behind all others, so that programs and drivers of before keep their offsets.
    rows.append(("WATCHDOG", "rw", "cycles in which nothing moves after which the engine stops; 0: never", ()))
    return tuple(
        Register(name, bytes_of(REGISTER_BITS) * i, access, doc, fields)  # type: ignore[arg-type]
        for i, (name, access, doc, fields) in enumerate(rows)
    )


REGISTERS = _table()
BY_NAME = {r.name: r for r in REGISTERS}
COUNTERS = tuple(name for name in BY_NAME if name.startswith(("CYCLES", "BYTES_", "BUSY_", "STALL_")))
"""Names of the registers that count: cycles, bytes, and each unit's busy and stalled cycles."""
ADDRESS_BITS = 8
"""Bits of the register port's byte address."""
if REGISTERS[-1].offset >> ADDRESS_BITS:
    raise AssertionError(f"{len(REGISTERS)} registers do not fit {ADDRESS_BITS} address bits")


def mask(register: str, field: str) -> int:
    """The bits of a register's field; raises KeyError."""
    return BY_NAME[register].field(field).mask


CONTROL_START, CONTROL_RESET = mask("CONTROL", "start"), mask("CONTROL", "reset")
STATUS_BUSY, STATUS_DONE, STATUS_ERROR = (mask("STATUS", name) for name in ("busy", "done", "error"))
INTERRUPT_DONE, INTERRUPT_ERROR = mask("INTERRUPT", "done"), mask("INTERRUPT", "error")
