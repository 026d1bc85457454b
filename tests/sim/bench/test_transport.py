"""Memory of the simulated engine by bus address; its registers are driven in every test of the whole engine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from host.transport import run_sync
from sim.bench.transport import SimulationTransport

SIGNALS = ("awvalid", "wvalid", "bready", "arvalid", "rready")


def bench(interrupt: int = 0) -> SimpleNamespace:
    ports = {f"s_axil_{name}": SimpleNamespace(value=1) for name in SIGNALS}
    return SimpleNamespace(**ports, interrupt_line=SimpleNamespace(value=interrupt))


def test_nothing_is_asked_of_the_engine_at_first() -> None:
    dut = bench()
    SimulationTransport(dut, np.zeros(8, np.uint8))
    assert [getattr(dut, f"s_axil_{name}").value for name in SIGNALS] == [0] * 5


def test_memory_is_found_at_its_bus_address() -> None:
    memory = np.arange(16, dtype=np.uint8)
    transport = SimulationTransport(bench(), memory, base=0x4000)
    assert run_sync(transport.read_memory(0x4003, 2)) == bytes([3, 4])
    run_sync(transport.write_memory(0x4004, b"\xff\xfe"))
    assert memory[3:7].tolist() == [3, 255, 254, 6]


def test_an_interrupt_that_is_there_already_takes_no_time() -> None:
    run_sync(SimulationTransport(bench(interrupt=1), np.zeros(8, np.uint8)).wait_interrupt())
