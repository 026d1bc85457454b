"""Runs a compiled network on the engine's Verilog and compares every layer and every counter.

Needs cocotb 2, numpy and Verilator, and the files beside it: README.md says which is what.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from sim.bench.transport import SimulationTransport, start

HERE = Path(__file__).resolve().parent
START, DONE, INTERRUPTS = 1, 2, 3


class Bench:
    """The engine, its registers by name, and what is expected of it."""

    def __init__(self, dut: Any) -> None:
        self.facts = json.loads((HERE / "bench.json").read_text())
        self.arrays = np.load(HERE / "arrays.npz")
        self.memory = np.memmap(os.environ["SHIFTPOINT_MEMORY"], np.uint8, "r+")
        self.dut = dut
        self.engine = SimulationTransport(dut, self.memory, patience=self.facts["patience"])

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self.engine.write(self.facts["registers"][name], value)

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.engine.read(self.facts["registers"][name])

    async def begin(self) -> None:
        """Clock, reset, memory, program."""
        facts = self.facts
        await start(self.dut, **facts["memory"])
        image = np.fromfile(HERE / "program.bin", np.uint8)
        self.memory[:] = 0
        self.memory[: len(image)] = image
        for name, value in facts["settings"].items():
            await self.write(name, value)

    async def run(self, number: int) -> dict[str, int]:
        """One run; returns the counters."""
        for k, address in enumerate(self.facts["inputs"]):
            data = self.arrays[f"input_{number}_{k}"]
            self.memory[address : address + len(data)] = data
        await self.write("CONTROL", START)
        await self.engine.wait_interrupt()
        status = await self.read("STATUS")
        await self.write("INTERRUPT", INTERRUPTS)
        if status != DONE:
            cause, address = await self.read("ERROR_CAUSE"), await self.read("ERROR_ADDRESS")
            raise AssertionError(f"run {number}: status {status}, cause {cause}, address {address:#x}")
        return {name: await self.read(name) for name in self.facts["counters"]}

    def tensor(self, k: int) -> np.ndarray:
        """Tensor k as the engine left it: integers (C, H, W)."""
        where = self.arrays[f"where_{k}"]  # of each integer, its bytes in memory, lowest first: (bytes, C, H, W)
        bits, signed = self.facts["tensors"][k]["bits"], self.facts["tensors"][k]["signed"]
        value = sum(self.memory[at].astype(np.int64) << (8 * byte) for byte, at in enumerate(where))
        return np.asarray(value - (value >> (bits - 1) << bits if signed else 0))


@cocotb.test()
async def every_layer_and_counter(dut: Any) -> None:
    """Each run: every tensor equals the expected one, every counter the predicted one."""
    bench = Bench(dut)
    await bench.begin()
    for number in range(bench.facts["runs"]):
        counters = await bench.run(number)
        for k, tensor in enumerate(bench.facts["tensors"]):
            expected, found = bench.arrays[f"expected_{number}_{k}"], bench.tensor(k)
            wrong = np.argwhere(expected != found)
            if len(wrong):
                at = tuple(int(i) for i in wrong[0])
                image = "" if tensor["image"] is None else f", image {tensor['image']} of it"
                raise AssertionError(
                    f"run {number}{image}, layer {tensor['layer']} (tensor {tensor['name']}): "
                    f"channel, row, column {at}: expected {expected[at]}, "
                    f"got {found[at]}; {len(wrong)} of {expected.size} differ"
                )
        for name, predicted in bench.facts["counters"].items():
            assert counters[name] == predicted, f"run {number}: {name} is {counters[name]}, predicted {predicted}"
        dut._log.info("run %d: %d tensors equal, %d cycles as predicted", number, k + 1, counters["CYCLES"])
