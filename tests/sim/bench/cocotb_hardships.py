"""The cocotb side of `hardships`: each job of the folder SHIFTPOINT_JOBS comes out right after what it endured."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from host.driver import Driver, EngineError
from hw.contract.program import load
from hw.contract.registers import BY_NAME, CONTROL_START, ErrorCause
from quant.ir.inputs import single
from sim.bench.transport import SimulationTransport, set_memory, start
from tests.counting import VALUES

CAUSES = {"read": ErrorCause.READ_BUS, "write": ErrorCause.WRITE_BUS}
COUNTERS = {"read": "BYTES_READ", "write": "BYTES_WRITTEN"}


def stall(dut: Any, rng: np.random.Generator) -> None:
    """Another memory: its stalls, its latency, and the order of addresses and data that it likes."""
    chances = {
        "each of its own": rng.integers(0, 220, 5),
        "one channel": np.where(np.arange(5) == rng.integers(5), 250, 0),
        "all alike": np.full(5, 128),
        "hardly or nearly always": rng.choice([0, 20, 250], 5),
    }
    chosen = chances[str(rng.choice(list(chances)))]
    dut.stall_chance.value = sum(int(chance) << 8 * channel for channel, chance in enumerate(chosen))
    dut.stall_longest.value = int(rng.choice([1, 3, 20]))
    dut.seed.value = int(rng.integers(1 << 32))
    order = int(rng.integers(3))
    dut.data_first.value, dut.address_first.value = order == 1, order == 2
    set_memory(dut, int(rng.choice([1, 2, 64, 200])), int(rng.choice([1, 1, 3])), shared=bool(rng.integers(2)))


class Job:
    """One job on the engine as the one before left it."""

    def __init__(self, dut: Any, transport: SimulationTransport, path: Path) -> None:
        self.dut, self.transport = dut, transport
        self.facts = json.loads(path.read_text())
        self.arrays = np.load(path.with_suffix(".npz"))
        self.program = load(path.with_suffix(".program"))
        self.image = {name: self.arrays[f"image {name}"] for name in self.program.input_shapes}
        self.rng = np.random.default_rng(self.facts["seed"])
        self.driver = Driver(transport, self.facts["base"], len(transport.memory))

    async def endure(self) -> int:
        """Hardship, then a run that is right; how many values were compared."""
        await self.begin()
        stall(self.dut, self.rng)
        if self.facts["hardship"] == "reset":
            await self.interrupted()
        elif self.facts["hardship"] != "none":
            await self.failing(self.facts["hardship"])
        stall(self.dut, self.rng)
        return await self.right()

    async def begin(self) -> None:
        """The program is loaded."""
        self.dut.base.value = self.transport.base = self.facts["base"]
        self.transport.patience = 100 * self.facts["cycles"] + 100_000
        await self.driver.connect()
        await self.driver.load(self.program)

    async def interrupted(self) -> None:
        """A reset at any time, after the end too."""
        for address, data in self.program.packed(single(self.image)):
            await self.transport.write_memory(self.facts["base"] + address, data)
        await self.transport.write(BY_NAME["CONTROL"].offset, CONTROL_START)
        await ClockCycles(self.dut.clk, int(self.rng.integers(1, 3 * self.facts["cycles"])))
        await self.driver.reset()
        assert self.dut.idle.value, "bursts are under way after a reset"

    async def failing(self, direction: str) -> None:
        """An error at any beat stops the run, with its cause and the address of its burst."""
        beats = self.facts["bytes"][COUNTERS[direction]] // self.program.config.derived.beat_bytes
        number = int(self.rng.integers(1, max(beats, 1) + 1))
        getattr(self.dut, f"{direction}_error").value = number
        try:
            await self.driver.run(self.image)
        except EngineError as error:
            burst = int(self.dut.failed.value)
            found, expected = (error.cause, error.address), (CAUSES[direction], burst)
            assert found == expected, f"beat {number}: stopped with {found}, not {expected}"
        else:
            raise AssertionError(f"the {direction} error of beat {number} of {beats} did not stop the run")
        assert self.dut.idle.value, "bursts are under way after the stop"
        getattr(self.dut, f"{direction}_error").value = 0

    async def right(self) -> int:
        """What the memory held before makes no difference: every tensor, and the bytes moved, are right."""
        memory, used = self.transport.memory, len(self.program.image)
        memory[used:] = self.rng.integers(0, 256, len(memory) - used, dtype=np.uint8)
        await self.driver.run(self.image)
        counted = await self.driver.counters()
        for name, moved in self.facts["bytes"].items():
            assert counted[name] == moved, f"{name} is {counted[name]}, predicted {moved}"
        values = 0
        for k, placement in enumerate(self.program.tensors):
            found, expected = await self.driver.read_tensor(placement.tensor), self.arrays[f"tensor_{k}"]
            wrong = int((found != expected).sum())
            assert not wrong, f"tensor {placement.tensor}: {wrong} of {expected.size} values differ"
            values += expected.size
        return values


@cocotb.test()
async def endure(dut: Any) -> None:
    folder = Path(os.environ["SHIFTPOINT_JOBS"])
    transport = SimulationTransport(dut, np.memmap(os.environ["SHIFTPOINT_MEMORY"], np.uint8, "r+"))
    await start(dut)
    counted: Counter[str] = Counter()
    failures = []
    for path in sorted(folder.glob("job_*.json")):
        job = Job(dut, transport, path)
        try:
            counted[VALUES] += await job.endure()
            counted[job.facts["hardship"]] += 1
        except (AssertionError, EngineError, TimeoutError) as error:
            failures.append(f"{job.facts['name']} after {job.facts['hardship']}: {error}")
    assert not failures, "\n".join([f"{len(failures)} jobs failed:", *failures[:5]])
    (folder / "counted").write_text(json.dumps(counted))
