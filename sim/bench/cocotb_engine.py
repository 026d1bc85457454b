"""The cocotb side of `engine_bench`: runs the jobs of a folder on the engine, through the host's driver.

The folder SHIFTPOINT_JOBS holds job_<k>.json (program, images, window base, memory's parameters, watchdog, cycles to
wait at most), in order; results are left beside it as job_<k>.npz, and a byte is appended to `progress` for each
image.  Where the engine stops with an error, job_<k>.stop.json (cause, address) is left instead, and nothing runs after
it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from host.driver import Driver, EngineError
from hw.contract.program import load
from quant.ir.inputs import Given, by_run, together
from sim.bench.transport import SimulationTransport, set_memory, start


def _images(path: str, inputs: list[str]) -> Given:
    """The images of a job, by their numbers in the file."""
    with np.load(path) as arrays:
        return together({name: arrays[f"input_{k}"] for k, name in enumerate(inputs)})


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Every job of the folder, one after the other, on the engine as the one before left it."""
    folder = Path(os.environ["SHIFTPOINT_JOBS"])
    memory = np.memmap(os.environ["SHIFTPOINT_MEMORY"], np.uint8, "r+")
    transport = SimulationTransport(dut, memory)
    await start(dut)
    for path in sorted(folder.glob("job_*.json")):
        job = json.loads(path.read_text())
        set_memory(dut, **job["memory"])
        dut.base.value = job["base"]
        transport.base, transport.patience = job["base"], job["patience"]
        program = load(Path(job["program"]))
        driver = Driver(transport, job["base"], len(memory), job["watchdog"])
        await driver.connect()
        await driver.load(program)
        counters: list[list[int]] = []
        tensors: dict[str, list[np.ndarray]] = {name: [] for name in program.placements}
        for images in by_run(_images(job["images"], job["inputs"]), program.batch):
            try:
                await driver.run_batch(images)
            except EngineError as error:
                stop = {"cause": error.cause, "address": error.address}
                path.with_suffix(".stop.json").write_text(json.dumps(stop))
                return
            counters.append(list((await driver.counters()).values()))
            for name, values in tensors.items():
                values.append((await driver.read_batch(name))[: len(images)])
            with open(folder / "progress", "ab") as progress:
                progress.write(b"." * len(images))
        arrays = {f"tensor_{k}": np.concatenate(values) for k, values in enumerate(tensors.values())}
        np.savez(path.with_suffix(".npz"), counters=np.array(counters, np.int64), **arrays)  # type: ignore[arg-type]
