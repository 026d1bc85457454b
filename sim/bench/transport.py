"""The simulated engine as the host's driver reaches it: registers over AXI4-Lite, memory as a mapped file."""

from __future__ import annotations

from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, SimTimeoutError, with_timeout

PERIOD_NS = 10
"""Of the clock that `bench.sv` makes."""
ANSWER_CYCLES = 100
"""A register port that has not answered by then is broken."""


def set_memory(dut: Any, latency: int = 1, beat_every: int = 1, shared: bool = False) -> None:
    """Give the memory of a `bench.sv` its parameters, which are those of `hw.contract.memory.Memory`."""
    dut.latency.value, dut.beat_every.value, dut.shared.value = latency, beat_every, shared


async def start(dut: Any, base: int = 0, **memory: Any) -> None:
    """Bring a `bench.sv` out of its reset, before a memory that never stalls nor fails.

    base: bus address of the memory's first byte.  memory: as `set_memory`.
    """
    set_memory(dut, **memory)
    dut.base.value = base
    for name in ("read_error", "write_error", "stall_chance", "stall_longest", "seed", "data_first", "address_first"):
        getattr(dut, name).value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)  # the reset reaches the engine a cycle later


class SimulationTransport:
    """Registers, memory and interrupt of a `bench.sv` under cocotb.

    Parameters: dut, the bench.  memory: uint8 (bytes,), the file that the bench has mapped.  base: bus address
    of its first byte.
    patience: cycles to wait for an interrupt.
    Signals are driven and looked at in the middle of a cycle, where everything is stable; while the engine
    runs, nothing here runs.
    """

    reads_back = False

    def __init__(self, dut: Any, memory: np.ndarray, base: int = 0, patience: int = 1_000_000) -> None:
        self.dut, self.memory, self.base, self.patience = dut, memory, base, patience
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            getattr(dut, f"s_axil_{name}").value = 0

    async def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register at a byte offset; raises OSError when the engine answers with an error."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.s_axil_awaddr.value = offset
        dut.s_axil_wdata.value = value
        dut.s_axil_bready.value = 1
        waiting = [(dut.s_axil_awvalid, dut.s_axil_awready), (dut.s_axil_wvalid, dut.s_axil_wready)]
        for valid, _ in waiting:
            valid.value = 1
        for _ in range(ANSWER_CYCLES):
            taken = [channel for channel in waiting if channel[1].value]
            await FallingEdge(dut.clk)
            for channel in taken:
                channel[0].value = 0
                waiting.remove(channel)
            if not waiting:
                break
        await self._answer(dut.s_axil_bvalid)
        response = int(dut.s_axil_bresp.value)
        await FallingEdge(dut.clk)
        dut.s_axil_bready.value = 0
        if response:
            raise OSError(f"the write of register 0x{offset:02x} was answered with {response}")

    async def read(self, offset: int) -> int:
        """A 32-bit register at a byte offset; raises OSError when the engine answers with an error."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.s_axil_araddr.value = offset
        dut.s_axil_arvalid.value = 1
        dut.s_axil_rready.value = 1
        for _ in range(ANSWER_CYCLES):
            taken = bool(dut.s_axil_arready.value)
            await FallingEdge(dut.clk)
            if taken:
                break
        dut.s_axil_arvalid.value = 0
        await self._answer(dut.s_axil_rvalid)
        value, response = int(dut.s_axil_rdata.value), int(dut.s_axil_rresp.value)
        await FallingEdge(dut.clk)
        dut.s_axil_rready.value = 0
        if response:
            raise OSError(f"the read of register 0x{offset:02x} was answered with {response}")
        return value

    async def _answer(self, valid: Any) -> None:
        for _ in range(ANSWER_CYCLES):
            if valid.value:
                return
            await FallingEdge(self.dut.clk)
        raise TimeoutError(f"the register port does not answer within {ANSWER_CYCLES} cycles")

    async def read_memory(self, address: int, size: int) -> bytes:
        """`size` bytes from a bus address; takes no time."""
        return self.memory[address - self.base : address - self.base + size].tobytes()

    async def write_memory(self, address: int, data: bytes) -> None:
        """Write memory from a bus address; takes no time."""
        self.memory[address - self.base : address - self.base + len(data)] = np.frombuffer(data, np.uint8)

    async def wait_interrupt(self) -> None:
        """Return when the interrupt line is high; raises TimeoutError when `patience` is over before."""
        if self.dut.interrupt_line.value:
            return
        try:
            await with_timeout(RisingEdge(self.dut.interrupt_line), self.patience * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise TimeoutError(f"no interrupt within {self.patience} cycles") from None
