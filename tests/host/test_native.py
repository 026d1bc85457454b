"""The driver in C at a serial line: a pseudo terminal, and behind it a bridge in Python with an engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from host.chain import Taken
from host.native import run_compiled
from host.simulation import run_program
from host.terminal import Reporter
from hw.contract.board import System
from hw.contract.registers import ErrorCause
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given, by_input, together
from tests.host.drivers.golden import PROGRAMS, Golden, golden
from tests.host.drivers.test_c_driver import SANITIZERS, STRICT
from tests.host.fake_bridge import SYSTEM, FakeBridge
from tests.host.fake_engine import FakeEngine

QUIET = Reporter(quiet=True)
FLAGS = (*STRICT, *SANITIZERS)
ANSWER = 60_000
"""Milliseconds: on a busy machine the thread comes late."""


@dataclass(eq=False)
class Board:
    """A bridge behind a port."""

    bridge: FakeBridge
    port: str

    def run(self, found: Golden, count: int = 1, milliseconds: int = ANSWER, system: System = SYSTEM) -> Taken:
        return run_compiled(found.program, images(found, count), system, self.port, QUIET, milliseconds, FLAGS)


def images(found: Golden, count: int) -> Given:
    names = list(found.program.input_shapes)
    every = [by_input(names, together(run.images)) for run in found.runs]
    arrays = {name: np.concatenate([np.asarray(one[name]) for one in every]) for name in names}
    return together({name: array[np.arange(count) % len(array)] for name, array in arrays.items()})


@contextlib.contextmanager
def board(found: Golden) -> Iterator[Board]:
    bridge = FakeBridge(FakeEngine(found.program.config, found.program))
    end, port = os.openpty()
    tty.setraw(port)

    def serve() -> None:
        with contextlib.suppress(OSError):  # the port was closed
            while data := os.read(end, 4096):
                bridge.write(data)
                os.write(end, bridge.read(1 << 20))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Board(bridge, os.ttyname(port))
    finally:
        os.close(port)
        thread.join(10)
        os.close(end)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_tensor_of_every_image(name: str) -> None:
    """Runs that are full, and a last one that is not; every way in which tensors lie in memory."""
    found = golden(name)
    count = found.program.batch + 1
    with board(found) as there:
        taken = there.run(found, count)
    expected = run_program(found.program, images(found, count), QUIET)
    assert set(taken.tensors) == set(expected)
    for tensor, values in expected.items():
        np.testing.assert_array_equal(taken.tensors[tensor], values)
    assert taken.facts["cycles"] == 1234  # as the engine in Python says
    assert [(write.address, write.value) for write in SYSTEM.start] == there.bridge.order


def test_the_same_as_the_driver_in_python_writes() -> None:
    """What the engine's memory holds when a run begins, byte by byte."""
    found = golden("batch")
    with board(found) as there:
        there.run(found, 3)
        memory = there.bridge.engine.memory.copy()
    for offset, data in found.program.packed(images(found, 3)):
        start = SYSTEM.memory + offset
        assert memory[start : start + len(data)].tobytes() == data
    image = found.program.image
    assert memory[SYSTEM.memory : SYSTEM.memory + len(image)].tobytes() == image


def test_an_engine_that_stops() -> None:
    found = golden("folded")
    with board(found) as there:
        there.bridge.engine.failure = (ErrorCause.READ_BUS, SYSTEM.memory)
        with pytest.raises(VerificationError, match=r"read bus error \(READ_BUS\), at 0x10000$"):
            there.run(found)


def test_an_engine_of_another_configuration() -> None:
    found = golden("folded")
    with board(found) as there:
        there.bridge.engine.values["CONFIG_HASH"] ^= 1
        with pytest.raises(BadInput, match=r"load: the program was made for an engine of another configuration"):
            there.run(found)


def test_a_memory_too_small() -> None:
    found = golden("folded")
    with board(found) as there, pytest.raises(BadInput, match="open: the board has less memory than the window$"):
        there.run(found, system=dataclasses.replace(SYSTEM, memory_bytes=4096))


def test_a_memory_that_does_not_hold_what_is_written() -> None:
    found = golden("folded")
    with board(found) as there:
        there.bridge.altered = lambda byte: byte & 0x7F
        with pytest.raises(BadInput, match="start the memory: the memory does not hold what is written$"):
            there.run(found)


def test_a_byte_that_arrives_as_another() -> None:
    found = golden("folded")
    rare = next(byte for byte in found.program.image if byte not in b"\x5a\xa5\x0f\xf0")
    with board(found) as there:
        there.bridge.altered = lambda byte: byte ^ 1 if byte == rare else byte
        with pytest.raises(BadInput, match="load: a byte arrived as another: write it again, or at a lower baud rate$"):
            there.run(found)


def test_a_board_that_is_gone_while_a_program_is_loaded_and_the_next_run() -> None:
    found = golden("folded")
    with board(found) as there:
        there.bridge.most = len(found.program.image) // 2
        with pytest.raises(BadInput, match="load: no board answers$"):
            there.run(found, milliseconds=3000)
        there.bridge.most = None
        there.bridge._in.clear()  # forgotten after 100 ms
        assert there.run(found).facts["cycles"] == 1234


@pytest.mark.parametrize("when", ["after the run", "in the run"])
def test_a_board_that_is_gone_later(when: str) -> None:
    """No tensor is given that was not read."""
    found = golden("folded")
    with board(found) as there:
        bridge, start = there.bridge, there.bridge.engine._start

        def gone() -> None:
            start()
            bridge.most = bridge.taken + (40 if when == "after the run" else 0)

        bridge.engine._start = gone  # type: ignore[method-assign]
        with pytest.raises(BadInput, match=r"(read|run): no board answers$"):
            there.run(found, milliseconds=3000)


def test_nobody_at_the_port() -> None:
    found = golden("folded")
    end, port = os.openpty()
    tty.setraw(port)
    try:
        with pytest.raises(BadInput, match="connect: no board answers$"):
            run_compiled(found.program, images(found, 1), SYSTEM, os.ttyname(port), QUIET, 100, FLAGS)
    finally:
        os.close(end)
        os.close(port)


def test_no_port_and_a_rate_that_there_is_not() -> None:
    found = golden("folded")
    x = images(found, 1)
    with pytest.raises(BadInput, match="^/dev/ttyNONE: open: No such file or directory$"):
        run_compiled(found.program, x, SYSTEM, "/dev/ttyNONE", QUIET, 100, FLAGS)
    with pytest.raises(BadInput, match="open: no serial line here has this baud rate$"):
        run_compiled(found.program, x, dataclasses.replace(SYSTEM, baud=123), "/dev/ttyNONE", QUIET, 100, FLAGS)
