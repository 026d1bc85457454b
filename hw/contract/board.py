"""What a system around an engine tells its host: where registers and memory are, and how the memory wakes up.

`board build` writes it beside the system, as `board.json`; transports and drivers read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hw.contract.config import PAGE_BYTES
from hw.contract.registers import LARGEST_WINDOW, REGISTER_BITS
from quant.base.errors import BadInput

FILE = "board.json"
_LIMIT = 1 << REGISTER_BITS
"""Addresses, sizes and rates are below it."""


@dataclass(frozen=True)
class Write:
    """A write to the bus: byte address, 32-bit value, and cycles that the system then needs before the next."""

    address: int
    value: int
    cycles: int


@dataclass(frozen=True)
class Processor:
    """A processor in a system, which starts from memory when the host lets it.

    firmware, firmware_bytes: where it starts, and the room for its firmware, of which the engine's window has nothing.
    held: register that holds it in reset while it is 1.  console: of the processor's UART, printed: of its other end,
    which the host reads, the first of three registers each: a byte, 1 where no more can be written, 1 where there is
    none to be read.
    """

    firmware: int
    firmware_bytes: int
    held: int
    console: int
    printed: int


@dataclass(frozen=True)
class System:
    """A system on a board, as its host sees it.

    board: its name.  configuration: name of the engine's.  config_hash: what its CONFIG_HASH register reads as.
    clock_hz: of the engine and the bus.  baud: of the serial line.  registers: byte address of the engine's registers.
    memory, memory_bytes: where the engine and the host see the memory; its first page is a whole one.
    start: what makes the memory usable after power-up, in order.  processor: if there is one.
    Raises BadInput for values that no system has.
    """

    board: str
    configuration: str
    config_hash: int
    clock_hz: int
    baud: int
    registers: int
    memory: int
    memory_bytes: int
    start: tuple[Write, ...] = ()
    processor: Processor | None = None

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self) if one.type == "int"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 <= value < _LIMIT:
                raise BadInput(f"{name} must be 0 to {_LIMIT - 1}, not {value!r:.80}")
        for name in ("clock_hz", "baud"):
            if getattr(self, name) == 0:
                raise BadInput(f"{name} must not be 0")
        if self.memory % PAGE_BYTES or self.memory + self.memory_bytes > _LIMIT or self.memory_bytes < PAGE_BYTES:
            raise BadInput(f"a memory of {self.memory_bytes} bytes at {self.memory:#x} is no memory of whole pages")
        for write in self.start:
            if not _are_words(write):
                raise BadInput(f"start: {write} is no write to the bus")
        if (found := self.processor) is not None:
            within = _are_words(found) and self.memory < found.firmware < found.firmware + found.firmware_bytes
            if not within or found.firmware + found.firmware_bytes > self.memory + self.memory_bytes:
                raise BadInput(f"{found} has no room in the memory")

    @property
    def window(self) -> tuple[int, int]:
        """What `host.driver.Driver` may be given: bus address and size of the memory, in whole pages."""
        size = min(self.memory_bytes, LARGEST_WINDOW)
        return self.memory, size - size % PAGE_BYTES

    def to_json(self) -> dict[str, Any]:
        """Field by field, as JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> System:
        """Inverse of to_json.  Raises BadInput, KeyError or TypeError for what is none."""
        start = tuple(Write(**write) for write in values["start"])
        processor = None if (found := values.get("processor")) is None else Processor(**found)
        return System(**{**values, "start": start, "processor": processor})


def _are_words(value: Any) -> bool:
    """Whether the fields of a dataclass are numbers of 32 bits."""
    return all(isinstance(number, int) and 0 <= number < _LIMIT for number in asdict(value).values())


def load(path: Path) -> System:
    """Read a `board.json`.  Raises BadInput, in one line, where it is missing or holds no system."""
    try:
        return System.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise BadInput(f"{path}: holds no description of a system; make it again with `board build`") from None
