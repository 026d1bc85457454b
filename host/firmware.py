"""Running a program by firmware: the driver in C on the processor of a board's system.

It is compiled here with the program and the images in it, loaded over the serial line, and heard over the processor's
UART.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.driver import Driver
from host.drivers import board_header
from host.drivers.network_header import network_files, readable
from host.native import C_SOURCES, elements
from host.onboard import SECONDS, line, require_engine
from host.terminal import Reporter
from host.transport import run_sync
from host.uart import UartTransport, open_uart
from hw.contract import board, header
from hw.contract.board import Processor, System
from hw.contract.program import Program
from hw.contract.registers import COUNTERS
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given

PARTS = ("shiftpoint_firmware.c", "shiftpoint.c")
TARGET = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m")
"""Of `hw.board.system`'s processor."""
FLAGS = (
    "-std=c99",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-fno-builtin",
    "-fno-sanitize=undefined",
    "-Wall",
    "-Wextra",
)
LOADED = 1
"""Type of an ELF file's segments that are in memory."""
STRING_H = """\
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
"""
"""What shiftpoint_firmware.c defines: the compiler has no C library without an operating system, nor its headers."""


@dataclass(frozen=True)
class Printed:
    """What firmware printed.  digests: of each tensor over all images, as `quant.ir.digest`; counters: of the first
    run."""

    digests: dict[str, str]
    counters: dict[str, int]


def require_compiler() -> None:
    """Raise BadInput where there is no cross compiler."""
    if importlib.util.find_spec("ziglang") is None:
        raise BadInput("firmware needs a compiler for RISC-V, pip install 'shiftpoint[firmware]': no module ziglang")


def build(program: Program, x: Given, system: System) -> bytes:
    """Firmware as it lies in memory, for a system with a processor.  x: integers (N, C, H, W), of each input.

    Raises BadInput without a compiler, for a program that the driver in C does not run, and where there is no room.
    """
    require_compiler()
    processor = system.processor
    assert processor is not None
    window = processor.firmware - system.memory
    if program.memory_bytes > window:
        raise BadInput(
            f"program of {program.name}: needs {program.memory_bytes} bytes of memory, firmware leaves {window}"
        )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        texts = network_files(program, layers=True)
        texts[header.NAME] = header.registers_header().encode()
        texts[board_header.NAME] = board_header.board_header(system).encode()
        texts[board_header.SCRIPT] = board_header.link_script(processor).encode()
        texts["string.h"] = STRING_H.encode()
        texts |= _images(program, x)
        for name, content in texts.items():
            (folder / name).write_bytes(content)
        sources = [*(C_SOURCES / name for name in PARTS), *(folder / name for name in texts if name.endswith(".c"))]
        words = ["-I.", f"-I{C_SOURCES}", "-T", board_header.SCRIPT, "-o", "firmware.elf", *map(str, sources)]
        _compile(folder, [*TARGET, *FLAGS, *words])
        made = memory_of((folder / "firmware.elf").read_bytes(), processor.firmware)
    if len(made) > processor.firmware_bytes:
        raise BadInput(f"firmware of {len(made)} bytes has room for {processor.firmware_bytes}: run fewer images")
    return made


def run_firmware(
    folder: Path,
    program: Program,
    x: Given,
    reporter: Reporter,
    port: str | None = None,
    build_dir: Path | None = None,
) -> Printed:
    """As `host.onboard.run_on_board`, but driven on the board itself.

    Raises BadInput where the folder's system has no processor, VerificationError where the engine stops.
    """
    described = board.load(folder / board.FILE)
    require_engine(folder, described, program)
    if (processor := described.processor) is None:
        raise BadInput(f"the system in {folder} has no processor: make it with `board build --processor`")
    with reporter.stage("compile the firmware"):
        made = build(program, x, described)
    with line(folder, described, reporter, port, build_dir) as (name, answer):
        seconds = max(answer, SECONDS)
        with open_uart(name, described, seconds, answer) as transport:
            transport.write_bus(processor.held, 1)
            with reporter.stage("reach the engine and start the memory"):
                run_sync(Driver(transport, *transport.window).connect())
                transport.start_memory()
            with reporter.stage(f"load {len(made):,} bytes of firmware"):
                run_sync(transport.write_memory(processor.firmware, made))
            with reporter.stage(f"run {len(x)} images, by the firmware"):
                transport.write_bus(processor.held, 0)
                try:
                    return _heard(program, _lines(transport, processor, seconds, name))
                finally:
                    transport.write_bus(processor.held, 1)


def _images(program: Program, x: Given) -> dict[str, bytes]:
    """The images as C, by file."""
    images = list(elements(program, x))
    size = f"[FIRMWARE_IMAGES][{len(images[0])}]"
    head = f"#include <stdint.h>\n#define FIRMWARE_IMAGES {len(images)}u\nextern const uint8_t firmware_images{size};\n"
    rows = "".join(f"{{{','.join(map(str, image))}}},\n" for image in images)
    text = f'#include "firmware_images.h"\nconst uint8_t firmware_images{size} = {{\n{rows}}};\n'
    return {"firmware_images.h": head.encode(), "firmware_images.c": text.encode()}


def memory_of(elf: bytes, base: int) -> bytes:
    """What the segments of a 32-bit ELF file fill of memory from an address on.

    By hand, as `zig objcopy` compiles itself first, which takes longer than all else.
    """
    (table,), (size, count) = struct.unpack_from("<I", elf, 28), struct.unpack_from("<HH", elf, 42)
    memory = bytearray()
    for k in range(count):
        kind, start, _, address, length = struct.unpack_from("<5I", elf, table + k * size)
        if kind == LOADED and length:
            place = address - base
            memory.extend(bytes(max(0, place + length - len(memory))))
            memory[place : place + length] = elf[start : start + length]
    return bytes(memory)


def _compile(folder: Path, words: Sequence[str]) -> None:
    """Run Zig's C compiler in a folder.  Its cache is there, too: what it keeps elsewhere is not ours to fill."""
    own = {name: str(folder / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    command = [sys.executable, "-m", "ziglang", "cc", *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next((text for text in done.stderr.splitlines() if "error" in text), "no reason is given")
        raise VerificationError(f"the firmware does not compile: {said}")


def _lines(transport: UartTransport, processor: Processor, seconds: float, name: str) -> Iterator[str]:
    """What is printed, line by line.  Raises BadInput where nothing is for so many seconds."""
    text, last = "", time.monotonic()
    while True:
        (nothing,) = transport.read_bus(processor.printed + 8, 1)
        if nothing:
            if time.monotonic() - last > seconds:
                raise BadInput(f"{name}: the processor has printed nothing for {seconds:g} s")
            continue
        letter, _, _ = transport.read_bus(processor.printed, 3)
        last = time.monotonic()
        if letter != ord("\n"):
            text += chr(letter & 255)
            continue
        yield text
        text = ""


def _heard(program: Program, lines: Iterator[str]) -> Printed:
    names = readable(program, layers=True)
    digests: dict[str, str] = {}
    counters: dict[str, int] = {}
    for text in lines:
        match text.split():
            case ["end"]:
                return Printed(digests, counters)
            case ["digest", index, value]:
                digests[names[int(index)]] = value
            case ["stopped", *reason]:
                raise VerificationError(f"the program ends in the model, not on the board: {' '.join(reason)}")
            case [counter, number] if counter in COUNTERS:
                counters[counter] = int(number)
            case _:
                raise BadInput(f"the firmware says: {text:.200}")
    raise BadInput("the firmware does not come to its end")
