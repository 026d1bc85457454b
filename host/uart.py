"""How the driver reaches an engine over a serial line: LiteX's bridge from a UART to the bus (UARTBone).

A command on the line is a byte (1 writes, 2 reads, addresses counting up), the number of 32-bit words in a byte, and
the address of the first in words, four bytes; then come the words, to the board or from it.  Numbers are big-endian.
Writes are not answered, nothing on the line is checked, and a command that was left unfinished is forgotten after
100 ms (litex/soc/cores/uart.py, Stream2Wishbone).  LiteX's own client (litex.tools.remote.comm_uart) waits for ever
where nobody answers, and sends eight words at a time.
"""

from __future__ import annotations

import errno
import importlib
import os
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from host.transport import polled
from hw.contract import board
from hw.contract.board import System
from quant.base.errors import BadInput, ShiftpointError, first_line

WRITE, READ = 1, 2
"""Commands of the bridge."""
WORD = 4
"""Bytes of its words."""
MOST_WORDS = 255
"""Of one command."""
FORGOTTEN = 0.15
"""Seconds after which the bridge knows nothing of a command that another host has left unfinished."""
ANSWER = 2.0
"""Seconds in which an answer comes, but for a board that is gone."""


class Line(Protocol):
    """What is used of a serial port; pyserial's `Serial` has it."""

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer where no more came in time."""

    def write(self, data: bytes) -> int | None:
        """Send all of it."""

    def close(self) -> None:
        """Give the port back."""


class Silent(BadInput):
    """The board does not answer: there is none, or it is gone."""


class UartTransport:
    """A `host.transport.Transport` that blocks (`run_sync`): one system with an engine, over its serial line.

    line: of the board.  system: what is behind it.  name: of the port, for messages.  seconds: that a run takes at
    most.
    Closed by `close`, or at the end of a `with` block.
    Methods raise Silent where the board does not answer, and what the line raises as BadInput.
    """

    reads_back = True

    def __init__(self, line: Line, system: System, name: str = "the line", seconds: float = 60.0) -> None:
        self.system, self.seconds = system, seconds
        self._line, self._name = line, name

    @property
    def window(self) -> tuple[int, int]:
        """As `System.window`."""
        return self.system.window

    def close(self) -> None:
        """Give the port back."""
        self._line.close()

    def __enter__(self) -> UartTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_memory(self) -> None:
        """Make the memory usable, as it is after power-up; nothing may be using it.

        Raises BadInput where it does not hold what is written to it.
        """
        for write in self.system.start:
            self._write_words(write.address, np.array([write.value], ">u4"))
            time.sleep(write.cycles / self.system.clock_hz)
        first, size = self.window
        last = first + size - WORD
        # Two places that one bit of an address tells apart, or all of them, are one where addresses do not arrive.
        for pattern in (b"\x5a\xa5\x0f\xf0", b"\xa5\x5a\xf0\x0f"):
            other = bytes(byte ^ 255 for byte in pattern)
            self._send(first, pattern)
            self._send(last, other)
            for address, expected in ((first, pattern), (last, other)):
                if (found := self._receive(address, WORD)) != expected:
                    raise BadInput(
                        f"{self._name}: the memory does not hold what is written: {expected.hex()} at {address:#x} "
                        f"reads as {found.hex()}"
                    )

    def read_bus(self, address: int, count: int) -> list[int]:
        """32-bit words of the bus from a byte address on, in order."""
        return [int(word) for word in self._read_words(address, count)]

    def write_bus(self, address: int, value: int) -> None:
        """Write a 32-bit word to the bus."""
        self._write_words(address, np.array([value], ">u4"))

    async def read(self, offset: int) -> int:
        """The register at a byte offset."""
        return int(self._read_words(self.system.registers + offset, 1)[0])

    async def write(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""
        self._write_words(self.system.registers + offset, np.array([value], ">u4"))

    async def read_memory(self, address: int, size: int) -> bytes:
        """Memory from a bus address.  Raises BadInput for what is not there."""
        self._require_inside(address, size)
        first, last = address - address % WORD, -(-(address + size) // WORD) * WORD
        return self._receive(first, last - first)[address - first :][:size]

    async def write_memory(self, address: int, data: bytes) -> None:
        """Write memory from a bus address, and read it back: the line checks nothing.

        Raises BadInput for what is not there, and where another thing is read, or the board is gone meanwhile.
        """
        self._require_inside(address, len(data))
        first, last = address - address % WORD, -(-(address + len(data)) // WORD) * WORD
        before = self._receive(first, WORD)[: address - first] if first < address else b""
        behind = self._receive(last - WORD, WORD)[len(data) + address - last :] if address + len(data) < last else b""
        whole = before + data + behind
        self._send(first, whole)
        found = self._receive(first, len(whole))
        if found != whole:
            at = next(i for i, (a, b) in enumerate(zip(found, whole, strict=True)) if a != b)
            raise BadInput(
                f"{self._name}: of {len(data)} bytes written the one at {first + at:#x} reads as {found[at]:#04x}, "
                f"not {whole[at]:#04x}: write it again, or at a lower baud rate"
            )

    async def wait_interrupt(self) -> None:
        """Return when a run has ended.  Raises NoEnd (`host.transport.polled`)."""
        await polled(self, self.seconds)

    def _send(self, address: int, data: bytes) -> None:
        """Whole words into memory, in which the first byte is the lowest of a word."""
        self._write_words(address, np.frombuffer(data, "<u4").astype(">u4"))

    def _receive(self, address: int, size: int) -> bytes:
        """Whole words of memory."""
        return self._read_words(address, size // WORD).astype("<u4").tobytes()

    def _write_words(self, address: int, words: np.ndarray) -> None:
        """words: big-endian uint32."""
        for start in range(0, len(words), MOST_WORDS):
            part = words[start : start + MOST_WORDS]
            self._put(_command(WRITE, address + WORD * start, len(part)) + part.tobytes())

    def _read_words(self, address: int, count: int) -> np.ndarray:
        """Big-endian uint32 (count,)."""
        found = []
        for start in range(0, count, MOST_WORDS):
            part = min(MOST_WORDS, count - start)
            self._put(_command(READ, address + WORD * start, part))
            found.append(self._get(WORD * part))
        return np.frombuffer(b"".join(found), ">u4")

    def _put(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except (OSError, ShiftpointError) as error:  # pyserial's errors are OSErrors
            raise BadInput(f"{self._name}: the line broke off: {_reason(error)}") from None

    def _get(self, size: int) -> bytes:
        try:
            found = self._line.read(size)
        except OSError as error:
            raise BadInput(f"{self._name}: the line broke off: {_reason(error)}") from None
        if len(found) < size:
            raise Silent(f"{self._name}: no board answers at {self.system.baud} baud ({len(found)} of {size} bytes)")
        return found

    def _require_inside(self, address: int, size: int) -> None:
        first, most = self.system.memory, self.system.memory_bytes
        if not first <= address <= address + size <= first + most:
            raise BadInput(f"{size} bytes at {address:#x} are not in the memory of {most} bytes at {first:#x}")


def _command(command: int, address: int, words: int) -> bytes:
    return bytes([command, words]) + (address // WORD).to_bytes(4, "big")


def _reason(error: BaseException) -> str:
    """Why a port fails, without the names and brackets that pyserial puts around it."""
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program uses it"
    return os.strerror(number) if number else first_line(error)


def require_serial() -> Any:
    """pyserial.  Raises BadInput where it is not installed."""
    try:
        return importlib.import_module("serial")  # by name: a driver on a board does without
    except ImportError:
        raise BadInput("pyserial is needed for a serial line: pip install pyserial") from None


def open_uart(
    port: str, system: System | str | Path, seconds: float = 60.0, answer: float | None = None
) -> UartTransport:
    """A system on a board at a serial port, /dev/ttyUSB0 for instance.

    system: what is on the board, or the `board.json` that says it.  seconds: as `UartTransport`.  answer: seconds in
    which one comes, `ANSWER` when None; a simulation needs more.
    Needs pyserial.  Raises BadInput where the port cannot be opened.
    """
    found = system if isinstance(system, System) else board.load(Path(system))
    serial = require_serial()
    try:
        line = serial.Serial(port, found.baud, timeout=ANSWER if answer is None else answer, exclusive=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{port}: cannot be opened: {_reason(error)}") from None
    time.sleep(FORGOTTEN)
    line.reset_input_buffer()
    return UartTransport(line, found, port, seconds)
