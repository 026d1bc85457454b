"""The driver: loads a program, writes the input, starts the engine, reads tensors and counters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from host.transport import Transport
from hw.contract.config import INSTRUCTION_BYTES, PAGE_BYTES, PRESETS
from hw.contract.isa import IllegalInstruction, decode
from hw.contract.program import Program
from hw.contract.registers import (
    BY_NAME,
    CAUSES,
    CONTROL_RESET,
    CONTROL_START,
    COUNTERS,
    IDENTIFICATION,
    INTERRUPT_DONE,
    INTERRUPT_ERROR,
    LARGEST_WINDOW,
    NONE_WAITS,
    REGISTER_BITS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    Cause,
    ErrorCause,
)
from quant.base.errors import BadInput, ShiftpointError
from quant.ir.inputs import Given, Image, single

RESET_READS = 10_000
"""Reads of STATUS after which a reset that has not happened never will: it waits for transfers of 256 beats at most."""
_WHERE = {
    "byte address of the burst": " at address {address:#x}",
    "index of the instruction": " {address}",
    "index of one that waits": ", no token came for instruction {address}",
    "0": "",
}
"""What a message says of ERROR_ADDRESS, by what it holds."""


class EngineError(ShiftpointError):
    """The engine stopped.  cause: why.  address: what ERROR_ADDRESS reads as (docs/registers.md).

    program, window_base: what it ran, and where; they tell the layer.  log: of the simulation.
    """

    def __init__(
        self,
        cause: ErrorCause,
        address: int,
        program: Program | None = None,
        window_base: int = 0,
        log: Path | None = None,
    ) -> None:
        self.cause, self.address = cause, address
        found = CAUSES[cause]
        text = "stopped without a cause" if cause == ErrorCause.NONE else found.meaning
        silent = cause == ErrorCause.WATCHDOG and address == NONE_WAITS
        text += ", the memory does not answer" if silent else _WHERE[found.address].format(address=address)
        if program is not None:
            text += _place(program, found, address, window_base)
        super().__init__(f"engine: {text} ({cause.name})" + (f"; the whole log: {log}" if log else ""))


def _place(program: Program, cause: Cause, address: int, window_base: int) -> str:
    """Where in a program an error is: instruction and layer, or what lies at the address; empty where it is nowhere."""
    if cause.address in ("index of the instruction", "index of one that waits"):
        start = program.program_base + address * INSTRUCTION_BYTES
        try:
            instruction = decode(program.image[start : start + INSTRUCTION_BYTES])
        except IllegalInstruction:
            return ""
        layers = [layer.name for layer in program.layers][instruction.layer :][:1]
        return f", a {instruction.opcode.name}" + "".join(f" of layer {name}" for name in layers)
    if cause.address == "byte address of the burst":
        offset = address - window_base
        if 0 <= offset < len(program.image):
            first, last = program.program_base, program.program_base + program.instructions * INSTRUCTION_BYTES
            return ", among the instructions" if first <= offset < last else ", among the weights"
        for placement in (*program.inputs, *program.tensors):
            if 0 <= offset - placement.address < placement.size(program.config):
                return f", in tensor {placement.tensor}"
    return ""


class Driver:
    """Drives one engine.

    transport: how to reach it.  window_base, window_size: the part of the memory that it may use, in bytes,
    multiples of 4096, which ends within 4 GiB; the driver writes nothing outside it.
    watchdog: cycles in which nothing moves after which a run ends with an error (docs/registers.md says how many are
    safe); 0: it waits for ever.
    Raises BadInput for a window or a watchdog that the engine cannot have.
    """

    def __init__(
        self, transport: Transport, window_base: int = 0, window_size: int = 1 << 28, watchdog: int = 0
    ) -> None:
        for name, value in (("base", window_base), ("size", window_size)):
            if value % PAGE_BYTES or value < 0:
                raise BadInput(f"the memory window's {name} must be a multiple of {PAGE_BYTES}, not {value}")
        if window_size > LARGEST_WINDOW or window_base + window_size > 1 << REGISTER_BITS:
            raise BadInput(
                f"the memory window must have {LARGEST_WINDOW} bytes at most and end by byte {1 << REGISTER_BITS}, "
                f"not have {window_size} at byte {window_base}"
            )
        if not 0 <= watchdog < 1 << REGISTER_BITS:
            raise BadInput(f"the watchdog must be 0 to {(1 << REGISTER_BITS) - 1} cycles, not {watchdog}")
        self.transport = transport
        self.window_base, self.window_size, self.watchdog = window_base, window_size, watchdog
        self.engine: int | None = None
        self.program: Program | None = None

    async def connect(self) -> int:
        """Find the engine, reset it, tell it its window and its watchdog; returns its CONFIG_HASH.

        Raises BadInput where there is none, or one that hangs.
        """
        identification = await self._read("ID")
        if identification != IDENTIFICATION:
            raise BadInput(f"no engine answers: ID reads {identification:#010x}, not {IDENTIFICATION:#010x}")
        self.engine = await self._read("CONFIG_HASH")
        await self.reset()
        await self._write("WINDOW_BASE", self.window_base)
        await self._write("WINDOW_LIMIT", self.window_size)
        await self._write("WATCHDOG", self.watchdog)
        await self._write("INTERRUPT_ENABLE", INTERRUPT_DONE | INTERRUPT_ERROR)
        return self.engine

    async def reset(self) -> None:
        """Bring the engine to its initial state; clears an error, keeps window, program and memory.

        Raises BadInput for an engine that hangs: a transfer on its bus never ends.
        """
        await self._write("CONTROL", CONTROL_RESET)
        for _ in range(RESET_READS):
            status = await self._read("STATUS")
            if not status & (STATUS_BUSY | STATUS_ERROR):
                break
        else:
            raise BadInput(f"the engine does not come out of its reset: STATUS reads {status}")
        await self._write("INTERRUPT", INTERRUPT_DONE | INTERRUPT_ERROR)

    async def load(self, program: Program) -> None:
        """Write a program's image into the window, and see that it is there.

        Raises BadInput for a program of another configuration, one that needs more memory than the window has, one
        that only the models run, or nothing at all (`Program.validate`), and where the memory does not hold the image.
        """
        if self.engine is None:
            self.engine = await self.connect()
        if program.config.word != self.engine:
            raise BadInput(
                f"program of {program.name}: made for configuration {program.config.name!r} "
                f"({program.config.word:08x}), the engine is {_engine_name(self.engine)}"
            )
        if program.memory_bytes > self.window_size:
            raise BadInput(
                f"program of {program.name}: needs {program.memory_bytes} bytes of memory, "
                f"the window has {self.window_size}"
            )
        program.validate()
        self.program = None  # what was there is written over
        await self.transport.write_memory(self.window_base, program.image)
        if not self.transport.reads_back:
            await self._require_image(program)
        await self._write("PROGRAM_BASE", program.program_base)
        await self._write("PROGRAM_LENGTH", program.instructions)
        self.program = program

    async def _require_image(self, program: Program) -> None:
        found = await self.transport.read_memory(self.window_base, len(program.image))
        if found != program.image:
            at = next(k for k, (a, b) in enumerate(zip(found, program.image, strict=True)) if a != b)
            raise BadInput(
                f"program of {program.name}: the window does not hold its image: byte {self.window_base + at:#x} reads "
                f"as {found[at]:#04x}, not {program.image[at]:#04x}: bad memory, or caches that are not kept"
            )

    async def run(self, x: Image) -> None:
        """As `run_batch`, on one image: integers (C, H, W) of the network's input, of several by name."""
        await self.run_batch(single(x))

    async def run_batch(self, images: Given) -> None:
        """Run the loaded program on as many images as its batch, or fewer.

        images: integers (n, C, H, W) of the network's input, of each of several.
        An error of a run before is cleared first, and so is a run that nobody waited for to its end.
        Raises EngineError where the engine stops, BadInput without a program, ValueError for a wrong shape.
        """
        program = self._loaded()
        if await self._read("STATUS") & (STATUS_ERROR | STATUS_BUSY):
            await self.reset()
        for address, data in program.packed(images):
            await self.transport.write_memory(self.window_base + address, data)
        await self._write("CONTROL", CONTROL_START)
        await self.transport.wait_interrupt()
        status = await self._read("STATUS")
        await self._write("INTERRUPT", INTERRUPT_DONE | INTERRUPT_ERROR)
        if status & STATUS_ERROR or not status & STATUS_DONE:
            cause, address = ErrorCause(await self._read("ERROR_CAUSE")), await self._read("ERROR_ADDRESS")
            raise EngineError(cause, address, program, self.window_base)

    async def counters(self) -> dict[str, int]:
        """What the last run cost, by register name (`COUNTERS`): as many registers are read, and only when asked."""
        return {name: await self._read(name) for name in COUNTERS}

    async def read_tensor(self, name: str, image: int = 0) -> np.ndarray:
        """The integers of a tensor that the program left in memory: int64 (C, H, W).  image: of a run of several.

        Raises BadInput for a tensor that it does not leave there.
        """
        return np.asarray((await self.read_batch(name))[image])

    async def read_batch(self, name: str) -> np.ndarray:
        """As `read_tensor`, of all images of a run: int64 (batch, C, H, W)."""
        program = self._loaded()
        if name not in program.placements:
            raise BadInput(f"program of {program.name}: leaves no tensor {name!r} in memory")
        data = {
            placement: await self.transport.read_memory(
                self.window_base + placement.address, placement.size(program.config)
            )
            for placement in program.tensors
            if placement.tensor == name
        }
        return program.tensor(name, data.__getitem__)

    async def read_outputs(self) -> dict[str, np.ndarray]:
        """The integers of the network's outputs by name, int64 (batch, C, H, W), as `host.tail.Ending` takes them."""
        return {name: await self.read_batch(name) for name in self._loaded().outputs}

    def _loaded(self) -> Program:
        if self.program is None:
            raise BadInput("no program is loaded")
        return self.program

    async def _read(self, name: str) -> int:
        return await self.transport.read(BY_NAME[name].offset)

    async def _write(self, name: str, value: int) -> None:
        await self.transport.write(BY_NAME[name].offset, value)


def _engine_name(word: int) -> str:
    """An engine by what its CONFIG_HASH reads as: the preset's name if it is one's."""
    names = [repr(config.name) for config in PRESETS.values() if config.word == word]
    return f"{names[0]} ({word:08x})" if names else f"another one ({word:08x})"
