"""The serial line: a bridge in Python behind the transport, and pseudo terminals in the place of ports."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from host import uart
from host.driver import Driver
from host.drivers import vectors
from host.transport import NoEnd, run_sync
from host.uart import MOST_WORDS, Silent, UartTransport, open_uart
from hw.contract.config import preset
from hw.contract.registers import BY_NAME
from quant.base.errors import BadInput
from tests.host.drivers.golden import golden
from tests.host.fake_bridge import PHY, REGISTERS, SYSTEM, FakeBridge
from tests.host.fake_engine import BASE, SIZE, FakeEngine

WINDOW_BASE = BY_NAME["WINDOW_BASE"].offset


@pytest.fixture
def bridge() -> FakeBridge:
    return FakeBridge(FakeEngine(preset("small")))


def test_golden_vectors_through_the_bridge() -> None:
    found = golden("folded")
    bridge = FakeBridge(FakeEngine(found.program.config, found.program))
    with UartTransport(bridge, SYSTEM) as transport:
        transport.start_memory()
        driver = Driver(transport, *transport.window)
        assert run_sync(vectors.check(driver, found.program, found.runs)) > 0
    assert bridge.closed
    assert max(words for _, words in bridge.writes) == MOST_WORDS == max(words for _, words in bridge.reads)


def test_any_bytes_at_any_place(bridge: FakeBridge, rng: np.random.Generator) -> None:
    memory = bridge.engine.memory
    memory[BASE:] = rng.integers(0, 256, SIZE)
    expected = memory.copy()
    transport = UartTransport(bridge, SYSTEM)
    ends = [(BASE, 1), (BASE, 0), (BASE + SIZE - 1, 1), (BASE, 4 * MOST_WORDS), (BASE + 3, 4 * MOST_WORDS + 2)]
    drawn = [(BASE + int(rng.integers(0, 5000)), int(rng.integers(1, 3000))) for _ in range(40)]
    for address, size in ends + drawn:
        data = rng.integers(0, 256, size).astype(np.uint8)
        run_sync(transport.write_memory(address, data.tobytes()))
        expected[address : address + size] = data
        around = max(BASE, address - 3)
        assert run_sync(transport.read_memory(around, size)) == expected[around : around + size].tobytes()
    np.testing.assert_array_equal(memory, expected)


@pytest.mark.parametrize(("address", "size"), [(BASE - 1, 2), (BASE + SIZE - 1, 2), (BASE + SIZE, 1)])
def test_nothing_beside_the_memory(bridge: FakeBridge, address: int, size: int) -> None:
    transport = UartTransport(bridge, SYSTEM)
    message = rf"^{size} bytes at {address:#x} are not in the memory of {SIZE} bytes at {BASE:#x}$"
    with pytest.raises(BadInput, match=message):
        run_sync(transport.write_memory(address, bytes(size)))
    with pytest.raises(BadInput, match=message):
        run_sync(transport.read_memory(address, size))
    assert bridge.taken == 0


def test_the_memory_is_started_in_order(bridge: FakeBridge) -> None:
    UartTransport(bridge, SYSTEM).start_memory()
    assert bridge.order == [(write.address, write.value) for write in SYSTEM.start]
    assert all(address in (PHY, PHY + 4) or BASE <= address < BASE + SIZE for address, _ in bridge.writes)


def test_a_memory_that_does_not_start(bridge: FakeBridge) -> None:
    bridge.altered = lambda byte: byte & 0x7F
    with pytest.raises(BadInput, match=r"^the line: the memory does not hold what is written: 5aa50ff0 at 0x10000 "):
        UartTransport(bridge, SYSTEM).start_memory()


def test_a_memory_smaller_than_it_is_said_to_be(bridge: FakeBridge) -> None:
    """Addresses that do not all arrive: the last word is the first."""
    bridge._store = lambda address, value: FakeBridge._store(  # type: ignore[method-assign]
        bridge, BASE if BASE <= address < BASE + SIZE else address, value
    )
    with pytest.raises(BadInput, match="the memory does not hold what is written"):
        UartTransport(bridge, SYSTEM).start_memory()


def test_a_byte_that_arrives_as_another(bridge: FakeBridge) -> None:
    bridge.altered = lambda byte: 0x31 if byte == 0x30 else byte
    transport = UartTransport(bridge, SYSTEM, "/dev/ttyUSB0")
    message = r"^/dev/ttyUSB0: of 7 bytes written the one at 0x10006 reads as 0x31, not 0x30: write it again, or at a "
    with pytest.raises(BadInput, match=message):
        run_sync(transport.write_memory(BASE + 1, b"12345" + b"0" + b"6"))


def test_a_load_that_is_interrupted(bridge: FakeBridge) -> None:
    """The board is gone after so many bytes: what is read back does not come."""
    found = golden("folded")
    bridge.engine.values["CONFIG_HASH"] = found.program.config.word
    transport = UartTransport(bridge, SYSTEM, "/dev/ttyUSB0")
    driver = Driver(transport, *transport.window)
    run_sync(driver.connect())
    bridge.most = bridge.taken + len(found.program.image) // 2
    with pytest.raises(Silent, match=r"^/dev/ttyUSB0: no board answers at 1000000 baud \(0 of \d+ bytes\)$"):
        run_sync(driver.load(found.program))
    assert driver.program is None
    with pytest.raises(BadInput, match=r"^no program is loaded$"):
        run_sync(driver.run_batch(found.runs[0].images))


def test_a_window_too_small() -> None:
    found = golden("folded")
    bridge = FakeBridge(FakeEngine(found.program.config))
    small = dataclasses.replace(SYSTEM, memory_bytes=4096 + 100)
    transport = UartTransport(bridge, small)
    assert transport.window == (BASE, 4096)
    with pytest.raises(BadInput, match=rf"needs {found.program.memory_bytes} bytes of memory, the window has 4096$"):
        run_sync(Driver(transport, *transport.window).load(found.program))


def test_a_run_that_does_not_end(bridge: FakeBridge) -> None:
    with pytest.raises(NoEnd, match=r"^the run has not ended after 0\.01 s$"):
        run_sync(UartTransport(bridge, SYSTEM, seconds=0.01).wait_interrupt())


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, str]]:
    """A pseudo terminal: the board's end, and the name of the port."""
    pytest.importorskip("serial", reason="pyserial is part of shiftpoint[boards]")
    monkeypatch.setattr(uart, "FORGOTTEN", 0.0)
    monkeypatch.setattr(uart, "ANSWER", 0.2)
    board, port = os.openpty()
    tty.setraw(port)
    yield board, os.ttyname(port)
    for file in (board, port):
        with contextlib.suppress(OSError):  # a test closed it
            os.close(file)


def test_a_port(pair: tuple[int, str], bridge: FakeBridge) -> None:
    board, name = pair

    def serve() -> None:
        while data := os.read(board, 4096):
            bridge.write(data)
            os.write(board, bridge.read(1 << 20))
            if bridge.reads:  # what is asked last
                return

    os.write(board, b"left over from another host")
    thread = threading.Thread(target=serve)
    thread.start()
    with open_uart(name, SYSTEM, answer=60.0) as transport:  # on a busy machine the thread comes late
        with pytest.raises(BadInput, match=re.escape(f"{name}: cannot be opened: another program uses it")):
            open_uart(name, SYSTEM)  # one host at a time
        run_sync(transport.write(WINDOW_BASE, 0x12345000))
        assert hex(run_sync(transport.read(0))) == hex(bridge.engine.values["ID"])
    thread.join()
    assert (REGISTERS + WINDOW_BASE, 1) in bridge.writes


def test_a_port_with_nobody_behind(pair: tuple[int, str]) -> None:
    with open_uart(pair[1], SYSTEM) as transport:
        driver = Driver(transport, *transport.window)
        with pytest.raises(Silent, match=rf"^{pair[1]}: no board answers at 1000000 baud \(0 of 4 bytes\)$"):
            run_sync(driver.connect())


def test_a_port_that_goes_away(pair: tuple[int, str]) -> None:
    board, name = pair
    with open_uart(name, SYSTEM) as transport:
        os.close(board)
        with pytest.raises(BadInput, match=rf"^{name}: (the line broke off|no board answers)") as raised:
            run_sync(transport.read_memory(BASE, 4096))
    assert "\n" not in str(raised.value)


def test_no_port(tmp_path: Path) -> None:
    pytest.importorskip("serial", reason="pyserial is part of shiftpoint[boards]")
    with pytest.raises(BadInput, match=r"ttyUSB7: cannot be opened: No such file or directory$"):
        open_uart(str(tmp_path / "ttyUSB7"), SYSTEM)


def test_without_pyserial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(BadInput, match=r"^pyserial is needed for a serial line: pip install pyserial$"):
        open_uart("/dev/ttyUSB0", SYSTEM)
