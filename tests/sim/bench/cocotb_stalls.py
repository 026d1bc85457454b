"""What test_hardships.py runs to see that each channel stalls: cycles of one job on memories that stall in one way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from sim.bench.transport import SimulationTransport, start
from tests.sim.bench.cocotb_hardships import Job

CHANNELS = ("AR", "R", "AW", "W", "B")
MEMORIES: dict[str, dict[str, int]] = {
    "steady": {},
    **{name: {"stall_chance": 200 << 8 * channel} for channel, name in enumerate(CHANNELS)},
    # Shorter ones end while a tile is computed, or before the run's last response comes.
    **{name: {"stall_chance": 200 << 8 * CHANNELS.index(name), "stall_longest": 1000} for name in ("AR", "AW", "B")},
    "again": {"stall_chance": 200, "stall_longest": 1000},
    "another seed": {"stall_chance": 200, "stall_longest": 1000, "seed": 6},
    "longer": {"stall_chance": 200 << 8, "stall_longest": 40},
    "data first": {"data_first": 1},
    "addresses first": {"address_first": 1},
    "each first": {"data_first": 1, "address_first": 1},  # nothing can ever be written
}


@cocotb.test()
async def cycles(dut: Any) -> None:
    folder = Path(os.environ["SHIFTPOINT_JOBS"])
    transport = SimulationTransport(dut, np.memmap(os.environ["SHIFTPOINT_MEMORY"], np.uint8, "r+"))
    await start(dut, latency=8)
    job = Job(dut, transport, folder / "job_0000.json")
    await job.begin()
    transport.patience = 10 * job.facts["cycles"]
    counted = {}
    for name, settings in MEMORIES.items():
        for signal in ("stall_chance", "data_first", "address_first", "seed"):
            getattr(dut, signal).value = 0
        await job.driver.reset()
        for signal, value in ({"stall_longest": 20, "seed": 5} | settings).items():
            getattr(dut, signal).value = value
        try:
            await job.driver.run(job.image)
            counted[name] = (await job.driver.counters())["CYCLES"]
        except TimeoutError:
            counted[name] = 0
    (folder / "counted").write_text(json.dumps(counted))
