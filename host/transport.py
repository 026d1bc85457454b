"""How the driver reaches an engine: registers, memory, an interrupt.  Simulation now, boards later."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar, cast

Result = TypeVar("Result")


class Transport(Protocol):
    """One engine's register port, the memory that it shares with the host, and its interrupt line.

    Coroutines, so that a simulator's clock can run meanwhile; a transport that blocks needs no scheduler
    (`run_sync`).
    """

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
