"""How the driver reaches an engine on a board whose Linux it runs under: registers and memory are mapped.

Three ways: `open_uio` (UIO and u-dma-buf), `of_pynq` (the objects of PYNQ), or `MappedTransport` itself.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from host.transport import polled
from hw.contract.registers import LARGEST_WINDOW, PAGE_BYTES
from quant.base.errors import BadInput

REGISTER_BYTES = 4096
"""Of a page, the least that is mapped."""
_SYNC_UNIT = 16
"""u-dma-buf keeps flags in the low bits of a size."""


class Caches(Protocol):
    """Who keeps the processor's caches right; offset and size in bytes of the memory."""

    def flush(self, offset: int, size: int) -> None:
        """What was written is in memory."""

    def invalidate(self, offset: int, size: int) -> None:
        """What is read next comes from memory."""


class MappedTransport:
    """A `host.transport.Transport` that blocks (`run_sync`).

    registers: uint32 array; memory: uint8 array, the first byte of which the engine sees at bus address `base`.
    caches: None where memory is not cached, or caches are coherent.  sleep: sleeps until the interrupt line is high,
    for the seconds that it is given at most, and says whether it is; without it the register is polled.
    seconds: that a run takes at most.
    """

    reads_back = False

    def __init__(
        self,
        registers: np.ndarray,
        memory: np.ndarray,
        base: int,
        caches: Caches | None = None,
        sleep: Callable[[float], bool] | None = None,
        seconds: float = 10.0,
    ) -> None:
        self.base, self.seconds = base, seconds
        self._registers, self._memory, self._caches, self._sleep = registers, memory, caches, sleep

    @property
    def window(self) -> tuple[int, int]:
        """What `host.driver.Driver` may be given: bus address and size of the memory, in whole pages."""
        size = min(len(self._memory), LARGEST_WINDOW)
        return self.base, size - size % PAGE_BYTES

    async def read(self, offset: int) -> int:
        """The register at a byte offset."""
        return int(self._registers[offset // 4])

    async def write(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""
        self._registers[offset // 4] = value

    async def read_memory(self, address: int, size: int) -> bytes:
        """Memory from a bus address.  Raises BadInput for what is not mapped."""
        first = self._inside(address, size)
        if self._caches is not None:
            self._caches.invalidate(first, size)
        return self._memory[first : first + size].tobytes()

    async def write_memory(self, address: int, data: bytes) -> None:
        """Write memory from a bus address.  Raises BadInput for what is not mapped."""
        first = self._inside(address, len(data))
        self._memory[first : first + len(data)] = np.frombuffer(data, np.uint8)
        if self._caches is not None:
            self._caches.flush(first, len(data))

    async def wait_interrupt(self) -> None:
        """Return when a run has ended.  Raises NoEnd (`host.transport.polled`)."""
        await polled(self, self.seconds, self._sleep)

    def _inside(self, address: int, size: int) -> int:
        first = address - self.base
        if not 0 <= first <= first + size <= len(self._memory):
            raise BadInput(
                f"{size} bytes at {address:#x} are not in the memory of {len(self._memory)} bytes at {self.base:#x}"
            )
        return first


class _UdmabufCaches:
    """Those of u-dma-buf: a number in a file of the system says offset, size, direction and "now"."""

    def __init__(self, for_device: int, for_cpu: int) -> None:
        self._for_device, self._for_cpu = for_device, for_cpu

    def flush(self, offset: int, size: int) -> None:
        """As `Caches`."""
        self._sync(self._for_device, 1, offset, size)

    def invalidate(self, offset: int, size: int) -> None:
        """As `Caches`."""
        self._sync(self._for_cpu, 2, offset, size)

    def _sync(self, file: int, direction: int, offset: int, size: int) -> None:
        first = offset - offset % _SYNC_UNIT
        whole = -(-(offset + size - first) // _SYNC_UNIT) * _SYNC_UNIT
        os.pwrite(file, f"0x{first:08X}{whole | direction << 2 | 1:08X}".encode(), 0)


class _UioInterrupt:
    """UIO masks an interrupt that it has told of; a 1 unmasks it, and one that still is high is told of at once."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __call__(self, seconds: float) -> bool:
        """Sleep until it comes, or so long; whether it came."""
        os.write(self._file, struct.pack("=I", 1))
        ready, _, _ = select.select([self._file], [], [], seconds)
        if ready:
            os.read(self._file, 4)
        return bool(ready)


class UioTransport(MappedTransport):
    """As `open_uio` opens it; closed by `close`, or at the end of a `with` block."""

    def __init__(self, files: ExitStack, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._files = files

    def close(self) -> None:
        """Give back what was mapped and opened."""
        del self._registers, self._memory
        self._files.close()

    def __enter__(self) -> UioTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_uio(
    registers: str | os.PathLike[str] = "/dev/uio0",
    memory: str | os.PathLike[str] = "/dev/udmabuf0",
    facts: str | os.PathLike[str] = "/sys/class/u-dma-buf/udmabuf0",
    interrupt: bool = True,
    seconds: float = 10.0,
) -> UioTransport:
    """An engine under Linux: registers through UIO, memory through u-dma-buf.

    facts: the folder in which the system says of the memory where it lies (phys_addr, size), and by which caches are
    kept right.  interrupt: sleep until it comes; else its register is polled.  seconds: as `MappedTransport`.
    Raises BadInput where something is missing, or lies beyond 4 GiB.
    """
    with ExitStack() as files:
        base, size = (_number(Path(facts) / name) for name in ("phys_addr", "size"))
        if base >> 32 or size < PAGE_BYTES:
            raise BadInput(f"{memory}: {size} bytes at {base:#x}, and pages below 4 GiB are needed")
        uio, register_map = _mapped(files, registers, REGISTER_BYTES)
        _, memory_map = _mapped(files, memory, size)
        caches = _UdmabufCaches(*(_opened(files, Path(facts) / f"sync_for_{whom}") for whom in ("device", "cpu")))
        words, data = np.frombuffer(register_map, "<u4"), np.frombuffer(memory_map, np.uint8)
        kept = files.pop_all()
        return UioTransport(kept, words, data, base, caches, _UioInterrupt(uio) if interrupt else None, seconds)


def _opened(files: ExitStack, path: str | os.PathLike[str]) -> int:
    try:
        file = os.open(path, os.O_RDWR if not str(path).startswith("/sys/") else os.O_WRONLY)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    files.callback(os.close, file)
    return file


def _mapped(files: ExitStack, path: str | os.PathLike[str], size: int) -> tuple[int, mmap.mmap]:
    file = _opened(files, path)
    try:
        found = mmap.mmap(file, size)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {size} bytes cannot be mapped: {error}") from None
    files.callback(found.close)
    return file, found


def _number(path: Path) -> int:
    """A number in a file, as the system writes it: 4096, or 0x1000."""
    try:
        return int(path.read_text(), 0)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{path}: holds no number") from None


class _PynqCaches:
    """A buffer of PYNQ flushes and invalidates itself, all of it."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    def flush(self, offset: int, size: int) -> None:
        """As `Caches`."""
        self._buffer.flush()

    def invalidate(self, offset: int, size: int) -> None:
        """As `Caches`."""
        self._buffer.invalidate()


def of_pynq(mmio: Any, buffer: Any, seconds: float = 10.0) -> MappedTransport:
    """An engine under PYNQ, polled.

    mmio: `pynq.MMIO` of the engine's registers, or an overlay's block of them (`overlay.shiftpoint_engine_0.mmio`).
    buffer: `pynq.allocate(bytes, "u1")`; where its address is no multiple of 4096, the first bytes are left.
    Raises BadInput for another buffer.
    """
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or buffer.device_address >> 32:
        raise BadInput("the buffer must be bytes below 4 GiB: pynq.allocate(bytes, 'u1')")
    address = int(buffer.device_address)
    skipped = -address % PAGE_BYTES
    caches = _PynqCaches(buffer) if not getattr(buffer, "coherent", False) else None
    return MappedTransport(mmio.array, np.asarray(buffer)[skipped:], address + skipped, caches, seconds=seconds)
