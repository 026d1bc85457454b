"""LiteX's bridge from a UART to the bus, as a host sees it: a serial port in Python with an engine behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hw.contract.board import System, Write
from tests.host.fake_engine import BASE, SIZE, FakeEngine

REGISTERS, PHY = 0x9000_0000, 0x1000
SYSTEM = System(
    board="fake",
    configuration="small",
    config_hash=0,
    clock_hz=50_000_000,
    baud=1_000_000,
    registers=REGISTERS,
    memory=BASE,
    memory_bytes=SIZE,
    start=(Write(PHY, 14, 20_000), Write(PHY + 4, 3, 4), Write(PHY, 1, 0)),
)


class FakeBridge:
    """The line: what is written is obeyed byte by byte, what is read are its answers.

    words: of the bus beside engine and memory, by byte address.  reads, writes: of whole commands, (address, words).
    altered: makes of each byte on its way to the memory what arrives.  most: bytes after which the board is gone.
    """

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.words: dict[int, int] = {}
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []
        self.order: list[tuple[int, int]] = []
        self.altered: Callable[[int], int] = lambda byte: byte
        self.most: int | None = None
        self.taken = 0
        self.closed = False
        self._in, self._out = bytearray(), bytearray()

    def write(self, data: bytes) -> int:
        for byte in data:
            self.taken += 1
            if self.most is None or self.taken <= self.most:
                self._in.append(byte)
                self._obey()
        return len(data)

    def read(self, size: int) -> bytes:
        found = bytes(self._out[:size])
        del self._out[:size]
        return found

    def close(self) -> None:
        self.closed = True

    def _obey(self) -> None:
        if len(self._in) < 6:
            return
        command, words, address = self._in[0], self._in[1], int.from_bytes(self._in[2:6], "big") * 4
        assert command in (1, 2) and words > 0
        if command == 2:
            self.reads.append((address, words))
            for index in range(words):
                self._out += self._load(address + 4 * index).to_bytes(4, "big")
        elif len(self._in) == 6 + 4 * words:
            self.writes.append((address, words))
            for index in range(words):
                self._store(address + 4 * index, int.from_bytes(self._in[6 + 4 * index :][:4], "big"))
        else:
            return
        self._in.clear()

    def _load(self, address: int) -> int:
        if address >= REGISTERS:
            return asyncio.run(self.engine.read(address - REGISTERS))
        if BASE <= address < BASE + SIZE:
            return int.from_bytes(self.engine.memory[address : address + 4].tobytes(), "little")
        return self.words[address]

    def _store(self, address: int, value: int) -> None:
        if address >= REGISTERS:
            asyncio.run(self.engine.write(address - REGISTERS, value))
        elif BASE <= address < BASE + SIZE:
            for index, byte in enumerate(value.to_bytes(4, "little")):
                self.engine.memory[address + index] = self.altered(byte)
        else:
            self.words[address] = value
            self.order.append((address, value))
