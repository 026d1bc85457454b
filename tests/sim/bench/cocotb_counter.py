"""The cocotb tests that test_toolchain.py runs on its counter; they take what to expect from the environment."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge


async def count(dut, cycles):
    Clock(dut.clk, 10, "ns", impl="gpi").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    await ClockCycles(dut.clk, cycles + 1)
    return int(dut.count.value)


@cocotb.test()
async def counts(dut):
    step = int(os.environ["STEP"])
    assert await count(dut, 10) == 10 * step


@cocotb.test(skip="INTERNALS" not in os.environ)
async def sees_an_internal_signal(dut):
    await count(dut, 3)
    assert int(dut.following.value) == int(dut.count.value) + int(os.environ["STEP"])


@cocotb.test(skip="FAIL" not in os.environ)
async def fails(dut):
    await RisingEdge(dut.clk) if await count(dut, 1) < 0 else None
    raise AssertionError("cycle 4: expected 7, got 6")
