"""Firmware: what is compiled, how it is loaded, what is made of what it prints; tests/host/test_boards.py runs it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from host import firmware, onboard
from host.drivers.network_header import readable
from host.firmware import Printed, build, memory_of, run_firmware
from host.terminal import Reporter
from host.uart import UartTransport
from hw.contract import board
from hw.contract.board import Processor, System
from hw.contract.program import Program
from hw.contract.registers import COUNTERS
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given, together
from tests.host.drivers.golden import Golden, golden
from tests.host.fake_bridge import SYSTEM, FakeBridge
from tests.host.fake_engine import FakeEngine

QUIET = Reporter(quiet=True)
PORT = "/dev/ttyUSB0"
HALF = SYSTEM.memory_bytes // 2
PROCESSOR = Processor(SYSTEM.memory + HALF, HALF, 0xF000_1000, 0xF000_0000, 0xF000_0020)

WITH = dataclasses.replace(SYSTEM, processor=PROCESSOR)


@pytest.fixture
def folded() -> Golden:
    return golden("folded")


def images(found: Golden) -> Given:
    return together(found.runs[0].images)


class Console(UartTransport):
    """A system whose processor prints what it is told to, while it is not held."""

    said = ""

    def __init__(self, line: FakeBridge, system: System) -> None:
        super().__init__(line, system, PORT, 0.05)
        self.held, self.steps = 0, list[str]()

    def read_bus(self, address: int, count: int) -> list[int]:
        if address == PROCESSOR.printed + 8:
            return [int(not self.said or bool(self.held))]
        assert (address, count) == (PROCESSOR.printed, 3)
        letter, self.said = self.said[0], self.said[1:]
        return [ord(letter), 0, 0]

    def write_bus(self, address: int, value: int) -> None:
        assert address == PROCESSOR.held
        self.held = value
        self.steps.append("hold" if value else "go")

    async def write_memory(self, address: int, data: bytes) -> None:
        assert address == PROCESSOR.firmware
        self.steps.append(f"load {data.decode()}")


@pytest.fixture
def console(folded: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Console]:
    config = folded.program.config
    named = dataclasses.replace(WITH, configuration=config.name, config_hash=config.word)
    (tmp_path / board.FILE).write_text(json.dumps(named.to_json()))
    made = Console(FakeBridge(FakeEngine(config, folded.program)), named)
    monkeypatch.setattr(firmware, "open_uart", lambda *_: made)
    monkeypatch.setattr(firmware, "build", lambda *_: b"code")
    monkeypatch.setattr(firmware, "SECONDS", 0.05)
    monkeypatch.setattr(onboard, "ANSWER", 0.05)

    def saying(text: str) -> Console:
        made.said = text
        return made

    return saying


def text_of(program: Program) -> str:
    lines = [f"{name} {k}" for k, name in enumerate(COUNTERS)]
    lines += [f"digest {k} {k:064x}" for k, _ in enumerate(readable(program, layers=True))]
    return "\n".join([*lines, "end", ""])


def test_what_is_printed(folded: Golden, tmp_path: Path, console: Callable[[str], Console]) -> None:
    """The processor is held while its memory is written, and behind the end."""
    made = console(text_of(folded.program))
    found = run_firmware(tmp_path, folded.program, images(folded), QUIET, PORT)
    names = readable(folded.program, layers=True)
    assert found == Printed(
        {name: f"{k:064x}" for k, name in enumerate(names)}, {name: k for k, name in enumerate(COUNTERS)}
    )
    assert made.steps == ["hold", "load code", "go", "hold"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stopped run: read bus error (READ_BUS), at 0x40\n", VerificationError,
         "the program ends in the model, not on the board: run: read bus error (READ_BUS), at 0x40"),
        ("failed load: the window does not hold the program's image (IMAGE)\n", BadInput,
         "the firmware says: failed load: the window does not hold the program's image (IMAGE)"),
        ("CYCLES 7\nhello\n", BadInput, "the firmware says: hello"),
        ("CYCLES 7\ndig", BadInput, f"{PORT}: the processor has printed nothing for 0.05 s"),
    ],
    ids=["engine", "driver", "other", "silence"],
)  # fmt: skip
def test_what_else_is_printed(
    folded: Golden,
    tmp_path: Path,
    console: Callable[[str], Console],
    text: str,
    error: type[Exception],
    message: str,
) -> None:
    made = console(text)
    with pytest.raises(error) as caught:
        run_firmware(tmp_path, folded.program, images(folded), QUIET, PORT)
    assert str(caught.value) == message and made.steps[-1] == "hold"


def test_an_image_that_is_not_the_programs(folded: Golden) -> None:
    """It is in the firmware, and another one is another firmware; the driver compares its checksum on the board."""
    pytest.importorskip("ziglang", reason="the compiler is part of shiftpoint[firmware]")
    made = build(folded.program, images(folded), WITH)
    assert made.count(folded.program.image) == 1
    assert made == build(folded.program, images(folded), WITH)


def test_no_room(folded: Golden) -> None:
    pytest.importorskip("ziglang", reason="the compiler is part of shiftpoint[firmware]")
    program, x = folded.program, images(folded)
    low, narrow = (
        dataclasses.replace(WITH, processor=dataclasses.replace(PROCESSOR, **change))
        for change in ({"firmware": SYSTEM.memory + 4096}, {"firmware_bytes": 4096})
    )
    message = rf"needs {program.memory_bytes} bytes of memory, firmware leaves 4096$"
    with pytest.raises(BadInput, match=message):
        build(program, x, low)
    with pytest.raises(BadInput, match=r"^firmware of \d+ bytes has room for 4096: run fewer images$"):
        build(program, x, narrow)


def test_no_compiler(folded: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(
        BadInput, match=r"^firmware needs a compiler for RISC-V, pip install 'shiftpoint\[firmware\]': "
    ):
        build(folded.program, images(folded), WITH)


def test_segments_of_an_elf_file() -> None:
    """One that is not loaded, one behind a gap, one without content, in any order."""
    segments = [(2, b"note", 0x90), (1, b"data", 0x88), (1, b"code", 0x80), (1, b"", 0xF0)]
    header, content, table = bytearray(52), bytearray(), bytearray()
    for kind, data, address in segments:
        offset = 52 + 32 * len(segments) + len(content)
        table += np.array([kind, offset, 0, address, len(data), len(data), 7, 4], "<u4").tobytes()
        content += data
    header[28:32], header[42:46] = (52).to_bytes(4, "little"), bytes([32, 0, len(segments), 0])
    assert memory_of(bytes(header + table + content), 0x80) == b"code\0\0\0\0data"
