"""What test_checkers.py runs: every trace, and in which cycles it was played."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from tests.sim.bench.traces import CHANNELS, Cycle, traces

PORTS = [f"{port}{channel}" for port in ("", "l_") for channel in CHANNELS]


@cocotb.test()
async def play(dut) -> None:
    steady = {"rst": 0, **dict.fromkeys(PORTS, 0), **{f"{p}valid": 0 for p in PORTS}, **{f"{p}ready": 1 for p in PORTS}}

    async def step(cycle: Cycle) -> None:
        for name, value in (steady | cycle).items():
            getattr(dut, name).value = value
        await FallingEdge(dut.clk)

    Clock(dut.clk, 10, "ns", impl="gpi").start()
    await FallingEdge(dut.clk)
    begins = []
    for _, cycles in traces():
        await step({"rst": 1})
        begins.append(int(dut.cycle.value))
        for cycle in cycles:
            await step(cycle)
    Path(os.environ["BEGINS"]).write_text(json.dumps(begins))
