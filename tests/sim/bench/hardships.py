"""Networks on the engine while its memory stalls and fails, and resets interrupt: what the bench is told to run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from quant.ir.inputs import by_input
from sim.bench.engine_bench import run_bench
from sim.cycles import simulate
from tests.sim.jobs import Jobs

HARDSHIPS = {
    "none": "networks under stalls, after nothing else",
    "read": "networks under stalls, after an error of a read",
    "write": "networks under stalls, after an error of a write",
    "reset": "networks under stalls, after a reset",
}
"""What comes before the run that must be right, and as what it is counted."""


def endure(jobs: Jobs, seed: int, coverage: Path | None = None) -> Counter[str]:
    """Run the first image of every job, of one configuration, under stalls, each after one of HARDSHIPS.

    coverage: where to leave Verilator's counts of lines and toggles, if anywhere.
    Returns what was counted: jobs by HARDSHIPS, values compared.  Raises BenchFailure naming the jobs that fail.
    """
    counted = run_module(jobs, seed, "tests.sim.bench.cocotb_hardships", coverage)
    return Counter({HARDSHIPS.get(name, name): number for name, number in counted.items()})


def run_module(jobs: Jobs, seed: int, module: str, coverage: Path | None = None) -> dict[str, int]:
    """Run a module of cocotb tests on jobs, of one configuration; what it leaves in the file `counted` beside them."""
    with tempfile.TemporaryDirectory(prefix="shiftpoint_") as folder:
        work = Path(folder)
        for number, (name, (job, expected)) in enumerate(jobs.items()):
            stem = work / f"job_{number:04}"
            job.program.save(stem.with_suffix(".program"))
            counters = simulate(job.program, job.memory).counters
            facts = {
                "name": name,
                "base": job.base,
                "seed": [seed, number],
                "hardship": list(HARDSHIPS)[number % len(HARDSHIPS)],
                "cycles": counters["CYCLES"],
                "bytes": {key: counters[key] for key in ("BYTES_READ", "BYTES_WRITTEN")},
            }
            stem.with_suffix(".json").write_text(json.dumps(facts))
            tensors = {f"tensor_{k}": expected[p.tensor][0] for k, p in enumerate(job.program.tensors)}
            given = by_input(list(job.program.input_shapes), job.images)
            arrays: dict[str, Any] = {f"image {name}": array[0] for name, array in given.items()}
            np.savez(stem.with_suffix(".npz"), **arrays, **tensors)
        config = next(iter(jobs.values()))[0].program.config
        size = max(job.program.memory_bytes for job, _ in jobs.values())
        environment = {"SHIFTPOINT_JOBS": folder}
        ran = run_bench(config, module, work / "memory", size, env=environment, coverage=coverage is not None)
        if coverage is not None:
            shutil.copyfile(ran.log.parent / "coverage.dat", coverage)
        found: dict[str, int] = json.loads((work / "counted").read_text())
        return found
