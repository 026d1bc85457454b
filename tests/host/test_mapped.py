"""Transports of boards: files in the place of devices, with an engine behind them; objects like PYNQ's."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from host.driver import Driver
from host.drivers import vectors
from host.mapped import MappedTransport, UioTransport, _UioInterrupt, of_pynq, open_uio
from host.transport import NoEnd, run_sync
from hw.contract.registers import BY_NAME
from quant.base.errors import BadInput
from tests.host.drivers.golden import Golden, golden
from tests.host.fake_engine import BASE, SIZE, FakeEngine


class Board:
    """Files as the devices of a board are: uio0, udmabuf0, and the folder of facts."""

    def __init__(self, folder: Path, base: int = BASE, size: int = SIZE) -> None:
        self.folder = folder
        (folder / "uio0").write_bytes(bytes(4096))
        (folder / "udmabuf0").write_bytes(bytes(size))
        for name, text in {"phys_addr": f"0x{base:08x}\n", "size": f"{size}\n"}.items():
            (folder / name).write_text(text)
        for name in ("sync_for_device", "sync_for_cpu"):
            (folder / name).write_text("")

    def open(self, **options: object) -> UioTransport:
        found = self.folder
        return open_uio(found / "uio0", found / "udmabuf0", found, interrupt=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def folded() -> Golden:
    return golden("folded")


def in_step(transport: MappedTransport, engine: FakeEngine) -> MappedTransport:
    """The transport with registers that are the engine's own: a mapped file cannot answer a write by itself."""

    async def read(offset: int) -> int:
        return await engine.read(offset)

    async def write(offset: int, value: int) -> None:
        await engine.write(offset, value)

    transport.read, transport.write = read, write  # type: ignore[method-assign]
    return transport


def test_golden_vectors_through_uio(tmp_path: Path, folded: Golden) -> None:
    board = Board(tmp_path)
    with board.open() as transport:
        assert transport.window == (BASE, SIZE)
        engine = FakeEngine(folded.program.config, folded.program)
        engine.memory = np.concatenate([np.zeros(BASE, np.uint8), np.zeros(SIZE, np.uint8)])
        mapped = np.memmap(tmp_path / "udmabuf0", np.uint8, "r+")
        started = engine._start

        def start() -> None:
            engine.memory[BASE:] = mapped
            started()
            mapped[:] = engine.memory[BASE:]

        engine._start = start  # type: ignore[method-assign]
        driver = Driver(in_step(transport, engine), *transport.window)
        assert run_sync(vectors.check(driver, folded.program, folded.runs)) > 0
        synced = {name: (tmp_path / name).read_text() for name in ("sync_for_device", "sync_for_cpu")}
    last = folded.program.inputs[-1]
    size = -(-last.size(folded.program.config) // 16) * 16
    assert synced["sync_for_device"] == f"0x{last.address:08X}{size | 1 << 2 | 1:08X}"
    assert int(synced["sync_for_cpu"][-1], 16) & 15 == 2 << 2 | 1


def test_registers_are_words_of_the_file(tmp_path: Path) -> None:
    with Board(tmp_path).open() as transport:
        run_sync(transport.write(BY_NAME["WINDOW_BASE"].offset, 0x12345000))
        assert run_sync(transport.read(BY_NAME["WINDOW_BASE"].offset)) == 0x12345000
    words = np.frombuffer((tmp_path / "uio0").read_bytes(), "<u4")
    assert words[BY_NAME["WINDOW_BASE"].offset // 4] == 0x12345000 and np.count_nonzero(words) == 1


def test_what_was_opened_is_closed(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    board = Board(tmp_path)
    with board.open():
        pass
    (tmp_path / "sync_for_cpu").unlink()
    with pytest.raises(BadInput, match=r"sync_for_cpu: No such file or directory$"):
        board.open()
    assert len(set(os.listdir("/proc/self/fd")) - before) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "uio0").unlink(), "uio0: No such file or directory$"),
        (lambda f: (f / "udmabuf0").write_bytes(b"x"), "udmabuf0: 1048576 bytes cannot be mapped: "),
        (lambda f: (f / "phys_addr").write_text("nowhere"), "phys_addr: holds no number$"),
        (
            lambda f: (f / "phys_addr").write_text("0x100000000"),
            "bytes at 0x100000000, and pages below 4 GiB are needed",
        ),
        (lambda f: (f / "size").write_text("100"), "100 bytes at 0x10000, and pages below 4 GiB are needed"),
    ],
)
def test_boards_that_lack_something(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    board = Board(tmp_path)
    change(tmp_path)
    with pytest.raises(BadInput, match=message):
        board.open()


def test_memory_outside() -> None:
    transport = MappedTransport(np.zeros(64, np.uint32), np.zeros(4096, np.uint8), BASE)
    for address, size in ((BASE - 1, 1), (BASE, 4097), (BASE + 4096, 1)):
        with pytest.raises(
            BadInput, match=f"^{size} bytes at {address:#x} are not in the memory of 4096 bytes at 0x10000$"
        ):
            run_sync(transport.read_memory(address, size))
        with pytest.raises(BadInput):
            run_sync(transport.write_memory(address, bytes(size)))
    assert run_sync(transport.read_memory(BASE + 4096, 0)) == b""


def test_a_run_that_does_not_end() -> None:
    transport = MappedTransport(np.zeros(64, np.uint32), np.zeros(4096, np.uint8), BASE, seconds=0.01)
    with pytest.raises(NoEnd, match=r"^the run has not ended after 0\.01 s$"):
        run_sync(transport.wait_interrupt())


def test_the_interrupt_of_uio() -> None:
    """It is unmasked, told of once, and waited for no longer than said."""
    host, device = socket.socketpair()
    with host, device:
        registers = np.zeros(64, np.uint32)
        sleep = _UioInterrupt(host.fileno())
        transport = MappedTransport(registers, np.zeros(1, np.uint8), 0, sleep=sleep, seconds=0.02)
        with pytest.raises(NoEnd):
            run_sync(transport.wait_interrupt())
        assert device.recv(4) == b"\1\0\0\0"
        registers[BY_NAME["INTERRUPT"].offset // 4] = 1
        device.send(b"\7\0\0\0")
        assert sleep(1) and device.recv(4) == b"\1\0\0\0"
        run_sync(transport.wait_interrupt())


class PynqBuffer(np.ndarray):
    """What `pynq.allocate` gives, as far as the transport asks."""

    device_address: int
    coherent = False
    done: list[str]

    def flush(self) -> None:
        self.done.append("flush")

    def invalidate(self) -> None:
        self.done.append("invalidate")


def pynq_buffer(size: int, address: int, dtype: str = "u1") -> PynqBuffer:
    buffer = np.zeros(size, dtype).view(PynqBuffer)
    buffer.device_address, buffer.done = address, []
    return buffer


class Mmio:
    def __init__(self) -> None:
        self.array = np.zeros(64, np.uint32)


def test_pynq() -> None:
    buffer = pynq_buffer(3 * 4096, 0x10000800)
    transport = of_pynq(Mmio(), buffer)
    assert transport.window == (0x10001000, 2 * 4096)
    run_sync(transport.write_memory(0x10001004, b"abc"))
    assert buffer.done == ["flush"] and bytes(buffer[2048 + 4 : 2048 + 7]) == b"abc"
    assert run_sync(transport.read_memory(0x10001005, 2)) == b"bc" and buffer.done[-1] == "invalidate"
    buffer.coherent = True
    run_sync(of_pynq(Mmio(), buffer).write_memory(0x10001000, b"abc"))
    assert buffer.done == ["flush", "invalidate"]


@pytest.mark.parametrize("buffer", [pynq_buffer(4096, 1 << 32), pynq_buffer(4096, 0, "u4")])
def test_pynq_buffers_that_are_none(buffer: PynqBuffer) -> None:
    with pytest.raises(BadInput, match="^the buffer must be bytes below 4 GiB"):
        of_pynq(Mmio(), buffer)
