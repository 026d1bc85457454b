"""The memory trace that the cycle model predicts, against what the memory of the Verilog's bench sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hw.contract.config import preset
from hw.contract.memory import Memory
from quant.ir.inputs import by_run
from sim.bench import engine_bench
from sim.bench.runner import BenchRun
from sim.cycles import simulate
from sim.cycles.traffic import traffic
from tests.sim.jobs import handmade_jobs, network_jobs

pytestmark = [pytest.mark.usefixtures("verilator"), pytest.mark.verify]

RECORDER = Path(__file__).parent / "recorder.sv"
LINE = re.compile(r"port: (\w+) (\d+) (\d+) (\d+)")


def test_bursts_are_those_on_the_pins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every burst: direction, address, beats, bytes written, and the cycles of its address and its last beat."""
    runs: list[BenchRun] = []

    def recorded(*arguments: Any, run: Any = engine_bench.run_bench, **options: Any) -> BenchRun:
        runs.append(run(*arguments, **options))
        return runs[0]

    monkeypatch.setattr(engine_bench, "SOURCES", (RECORDER, *engine_bench.SOURCES))
    monkeypatch.setattr(engine_bench, "run_bench", recorded)
    config = preset("tiny")
    jobs = handmade_jobs(config, [Memory(8, 1), Memory(64, 3), Memory(20, 2, shared=True)]) | network_jobs(
        config, seed, 8
    )
    engine_bench.run_jobs([job for job, _ in jobs.values()])
    seen = [(k, *map(int, rest)) for k, *rest in LINE.findall(runs[0].log.read_text())]
    ends = [k for k, (kind, *_) in enumerate(seen) if kind == "END"]
    ran = [(name, job) for name, (job, _) in jobs.items() for _ in by_run(job.images, job.program.batch)]
    assert len(ends) == len(ran)
    for (name, job), first, end in zip(ran, [0, *(end + 1 for end in ends)], ends, strict=False):
        timeline = simulate(job.program, job.memory)
        start = seen[end][1] - timeline.cycles  # the interrupt rises in the cycle in which busy has fallen
        of = {
            kind: [rest for k, *rest in seen[first:end] if k == kind] for kind in ("READ", "read", "WRITE", "written")
        }
        reads, writes = traffic(job.program, timeline)
        for bursts, asked, done in ((reads, "READ", "read"), (writes, "WRITE", "written")):
            predicted = zip(bursts.asked.tolist(), bursts.address.tolist(), bursts.beats.tolist(), strict=True)
            assert [[at - start, *rest] for at, *rest in of[asked]] == [list(burst) for burst in predicted], name
            assert [at - start for at, *_ in of[done]] == bursts.last.tolist(), name
        assert [size for _, size, _ in of["written"]] == writes.size.tolist(), name
