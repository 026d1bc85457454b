"""The cocotb side of `engine_bench`: runs the jobs of a folder on the engine, through the host's driver.

The folder SHIFTPOINT_JOBS holds job_<k>.json (program, images, window base, memory's parameters), in order;
results are left beside it as job_<k>.npz, and a byte is appended to `progress` for each image.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hw.contract.layout import pack, unpack
from hw.contract.program import Program, load
from hw.contract.registers import BY_NAME, CONTROL_START, STATUS_DONE
from sim.bench.transport import SimulationTransport
from sim.cycles.timeline import counter_names

PERIOD_NS = 10


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Every job of the folder, one after the other, on the engine as the one before left it."""
    folder = Path(os.environ["SHIFTPOINT_JOBS"])
    memory = np.memmap(os.environ["SHIFTPOINT_MEMORY"], np.uint8, "r+")
    transport = SimulationTransport(dut, memory)
    for name in ("latency", "beat_every"):
        getattr(dut, name).value = 1
    dut.base.value = 0
    dut.read_error.value = dut.write_error.value = 1
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    for path in sorted(folder.glob("job_*.json")):
        job = json.loads(path.read_text())
        dut.latency.value, dut.beat_every.value = job["latency"], job["beat_every"]
        dut.base.value = job["base"]
        program, images = load(Path(job["program"])), np.load(job["images"])
        counters: list[list[int]] = []
        tensors: dict[str, list[np.ndarray]] = {p.tensor: [] for p in program.tensors}
        for image in images:
            counters.append(await _run(transport, program, image, job["base"]))
            for p in program.tensors:
                data = memory[p.address : p.address + p.size(program.config)]
                tensors[p.tensor].append(unpack(np.asarray(data), p, program.config))
            with open(folder / "progress", "ab") as progress:
                progress.write(b".")
        arrays = {f"tensor_{k}": np.stack(values) for k, values in enumerate(tensors.values())}
        np.savez(path.with_suffix(".npz"), counters=np.array(counters, np.int64), **arrays)


async def _run(transport: SimulationTransport, program: Program, image: np.ndarray, base: int) -> list[int]:
    """One image through the engine; returns the counters in the order of `counter_names`."""

    def offset(name: str) -> int:
        return BY_NAME[name].offset

    memory = transport.memory
    memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
    for p in program.inputs:
        data = np.frombuffer(pack(image, p, program.config), np.uint8)
        memory[p.address : p.address + len(data)] = data
    settings = {
        "PROGRAM_BASE": program.program_base, "PROGRAM_LENGTH": program.instructions, "WINDOW_BASE": base,
        "WINDOW_LIMIT": program.memory_bytes, "INTERRUPT_ENABLE": 3, "INTERRUPT": 3, "CONTROL": CONTROL_START,
    }  # fmt: skip
    for name, value in settings.items():
        await transport.write(offset(name), value)
    await transport.wait_interrupt()
    status = await transport.read(offset("STATUS"))
    if status != STATUS_DONE:
        cause, address = [await transport.read(offset(n)) for n in ("ERROR_CAUSE", "ERROR_ADDRESS")]
        raise RuntimeError(f"the engine stopped with status {status}, cause {cause}, address 0x{address:x}")
    await transport.write(offset("INTERRUPT"), 3)
    return [await transport.read(offset(name)) for name in counter_names()]
