"""How the driver reaches an engine: registers, memory, an interrupt.  In a simulation, or on a board."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from hw.contract.registers import BY_NAME
from quant.base.errors import ShiftpointError

Result = TypeVar("Result")


class NoEnd(ShiftpointError):
    """A run has not ended in time.  It goes on; the driver's next run, or `reset`, ends it."""


class Transport(Protocol):
    """One engine's register port, the memory that it shares with the host, and its interrupt line.

    Coroutines, so that a simulator's clock can run meanwhile; a transport that blocks needs no scheduler
    (`run_sync`).
    reads_back: whether `write_memory` makes sure that the memory holds what it has written; else `Driver.load` does so
    for programs.
    """

    reads_back: bool

    async def read(self, offset: int) -> int:
        """The 32-bit register at a byte offset."""

    async def write(self, offset: int, value: int) -> None:
        """Write the 32-bit register at a byte offset."""

    async def read_memory(self, address: int, size: int) -> bytes:
        """`size` bytes of memory from a byte address."""

    async def write_memory(self, address: int, data: bytes) -> None:
        """Write memory from a byte address."""

    async def wait_interrupt(self) -> None:
        """Return as soon as the interrupt line is high."""


async def polled(transport: Transport, seconds: float, sleep: Callable[[float], bool] | None = None) -> None:
    """Return when a run has ended, by the INTERRUPT register.

    seconds: that a run takes at most.  sleep: sleeps until the interrupt line is high, for the seconds that it is
    given at most, and says whether it is; without it the register is read again at once.
    Raises NoEnd.
    """
    end = time.monotonic() + seconds
    while not await transport.read(BY_NAME["INTERRUPT"].offset):
        left = end - time.monotonic()
        if left <= 0 or (sleep is not None and not sleep(left)):
            raise NoEnd(f"the run has not ended after {seconds:g} s")


def run_sync(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine whose transport blocks, to its end.

    Raises RuntimeError where it waits for something: then it belongs into that something's scheduler.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast(Result, stop.value)
    coroutine.close()
    raise RuntimeError("the transport waits for a scheduler; await the driver there")
