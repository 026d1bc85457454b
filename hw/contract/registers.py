"""The register map: gateware, driver, C header and docs/registers.md come from this table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from hw.contract.isa import Unit

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


CONTROL_START, CONTROL_RESET = 1, 2
STATUS_BUSY, STATUS_DONE, STATUS_ERROR = 1, 2, 4


@dataclass(frozen=True)
class Register:
    """A 32-bit register: name, byte offset, access (ro, rw, wo, w1c), meaning."""

    name: str
    offset: int
    access: Literal["ro", "rw", "wo", "w1c"]
    doc: str


_FIXED = (
    ("ID", "ro", "0x53504831, the letters SPH1"),
    ("CONFIG_HASH", "ro", "first 32 bits of the configuration's SHA-256"),
    ("CONTROL", "wo", "bit 0: start (ignored while STATUS.error is set; while busy the run goes on and ends with "
     "error 5); bit 1: reset the engine, clearing an error; effective once no transfer is under way"),
    ("STATUS", "ro", "bit 0: busy; bit 1: done (since the last start); bit 2: ended with an error"),
    ("INTERRUPT_ENABLE", "rw", "bit 0: interrupt when done; bit 1: interrupt on an error"),
    ("INTERRUPT", "w1c", "bit 0: done; bit 1: error; the interrupt line is high while an enabled bit is set"),
    ("ERROR_CAUSE", "ro", "0 none, 1 read bus error, 2 write bus error, 3 illegal instruction, "
     "4 access outside the memory window, 5 start while busy"),
    ("ERROR_ADDRESS", "ro", "bus or window error: byte address of the burst; illegal instruction: its index"),
    ("PROGRAM_BASE", "rw", "byte offset of the first instruction in the window, a multiple of 256"),
    ("PROGRAM_LENGTH", "rw", "number of instructions"),
    ("WINDOW_BASE", "rw", "byte address of the memory window, a multiple of 4096"),
    ("WINDOW_LIMIT", "rw", "size of the memory window in bytes, a multiple of 4096"),
    ("CYCLES", "ro", "cycles of the last run: those in which STATUS.busy was 1"),
    ("BYTES_READ", "ro", "bytes of read beats, instructions included"),
    ("BYTES_WRITTEN", "ro", "bytes of write beats, by strobe"),
)  # fmt: skip

STALL_CAUSES = ("instruction", "load", "compute", "pool", "store")
"""What a unit waits for: its next instruction, or a token from another unit."""


def _table() -> tuple[Register, ...]:
    rows = list(_FIXED)
    for unit in Unit:
        rows.append((f"BUSY_{unit.name}", "ro", f"cycles in which the {unit.name.lower()} unit had work under way"))
    for unit in Unit:
        for cause in STALL_CAUSES:
            if cause != unit.name.lower():
                what = "its next instruction" if cause == "instruction" else f"a token from the {cause} unit"
                rows.append(
                    (f"STALL_{unit.name}_{cause.upper()}", "ro",
                     f"cycles in which the {unit.name.lower()} unit could have started but waited for {what}")
                )  # fmt: skip
    return tuple(Register(name, 4 * i, access, doc) for i, (name, access, doc) in enumerate(rows))  # type: ignore[arg-type]


REGISTERS = _table()
BY_NAME = {r.name: r for r in REGISTERS}
ADDRESS_BITS = 8
"""Bits of the register port's byte address."""
if len(REGISTERS) * 4 > 1 << ADDRESS_BITS:
    raise AssertionError(f"{len(REGISTERS)} registers do not fit {ADDRESS_BITS} address bits")
