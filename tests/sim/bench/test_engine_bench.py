"""The whole engine in Verilog, driven through its pins: every tensor and every counter, to the cycle.

All programs run in one simulator process, on an engine built once.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from host.driver import EngineError
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.memory import Memory
from hw.contract.registers import LARGEST_WINDOW, ErrorCause
from quant.ir.inputs import by_run
from sim import hazards
from sim.bench import engine_bench
from sim.bench.engine_bench import RtlJob, RtlResult, run_jobs
from sim.cycles import simulate
from sim.executor import ProgramExecutor
from tests.sim.equal import assert_counters, assert_tensors
from tests.sim.handmade import CASES, build
from tests.sim.jobs import (
    ODD,
    Jobs,
    banded_jobs,
    blocked_jobs,
    by_channel_jobs,
    depthwise_jobs,
    extreme_jobs,
    handmade_jobs,
    in_part_jobs,
    network_jobs,
    packed_jobs,
)
from tests.sim.reached import choices, operators, reached

pytestmark = pytest.mark.usefixtures("verilator")

POINTS = [Memory(latency, beat_every) for latency in (8, 64, 200) for beat_every in (1, 2)]
POINTS += [Memory(8, 1, shared=True), Memory(64, 2, shared=True)]
NETWORKS = 12
EXTREMES = 10
CHAINS = 10
BANDED = 4
BLOCKED = 5
BY_CHANNEL = 5
IN_PART = 4
PACKED = 6
VERIFIED_NETWORKS = 150
VERIFIED_EXTREMES = 100
VERIFIED_CHAINS = 50
VERIFIED_BLOCKED = 20
OPERATORS = {
    *("Add", "AveragePool", "Conv", "DepthToSpace", "Gemm", "MaxPool", "Mul", "Pad", "Resize", "Table"),
}
"""Of all kinds of layer but concatenations, which are part of the layers that write them."""


def check(job: RtlJob, result: RtlResult, expected: dict[str, np.ndarray], name: str) -> None:
    assert_tensors(job.program, expected, result.tensors, "Verilog")
    hazards.check(job.program)
    executor = ProgramExecutor(job.program)
    model = [executor.run_batch(images) for images in by_run(job.images, job.program.batch)]
    assert_tensors(job.program, expected, {t: np.concatenate([m[t] for m in model]) for t in model[0]}, "executor")
    predicted = simulate(job.program, job.memory).counters
    for counted in result.counters:
        assert_counters(predicted, counted, name)


def check_all(jobs: Jobs) -> None:
    results = run_jobs([job for job, _ in jobs.values()])
    failures = []
    for (name, (job, expected)), result in zip(jobs.items(), results, strict=True):
        try:
            check(job, result, expected, name)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    assert not failures, "\n".join([f"{len(failures)} of {len(jobs)} jobs failed:", *failures[:5]])


def test_convolutions_by_hand() -> None:
    check_all(handmade_jobs(preset("tiny"), POINTS))


def test_compiled_networks(seed: int) -> None:
    check_all(network_jobs(preset("tiny"), seed, NETWORKS))


def test_chains_of_depthwise_layers(seed: int) -> None:
    check_all(depthwise_jobs(preset("tiny"), seed, CHAINS))


def test_layers_that_run_band_by_band(seed: int) -> None:
    check_all(banded_jobs(preset("tiny"), seed, BANDED))


def test_layers_that_run_in_blocks_of_output_groups(seed: int) -> None:
    check_all(blocked_jobs(preset("tiny"), seed, BLOCKED))


def test_layers_that_read_some_channels_at_a_time(seed: int) -> None:
    check_all(by_channel_jobs(preset("tiny"), seed, BY_CHANNEL))


def test_layers_that_read_what_waits_as_results(seed: int) -> None:
    check_all(in_part_jobs(preset("tiny"), seed, IN_PART))


def test_weights_that_share_multipliers(seed: int) -> None:
    check_all(packed_jobs(replace(preset("tiny"), name="tiny_packed", packed=True), seed, PACKED))


def test_networks_at_the_ends_of_what_is_accepted(seed: int) -> None:
    check_all(extreme_jobs(preset("tiny"), seed, EXTREMES))


def test_an_engine_that_stops_says_why_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(*_: object, env: dict[str, str], **__: object) -> SimpleNamespace:
        Path(env["SHIFTPOINT_JOBS"], "job_0000.stop.json").write_text('{"cause": 3, "address": 0}')
        return SimpleNamespace(log=Path("sim.log"), waves=None)

    monkeypatch.setattr(engine_bench, "run_bench", bench)
    made = build(preset("tiny"), CASES["pointwise"])
    with pytest.raises(EngineError, match=r"^engine: illegal instruction 0, a \w+ of layer .*; the whole log: sim"):
        run_jobs([RtlJob(made.program, made.x[None])])


def test_the_window_ends_within_four_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(*_: object, env: dict[str, str], **__: object) -> SimpleNamespace:
        assert json.loads(Path(env["SHIFTPOINT_JOBS"], "job_0000.json").read_text())["base"] == 4096
        stop = {"cause": ErrorCause.READ_BUS, "address": 4096}
        Path(env["SHIFTPOINT_JOBS"], "job_0000.stop.json").write_text(json.dumps(stop))
        return SimpleNamespace(log=Path("sim.log"), waves=None)

    monkeypatch.setattr(engine_bench, "run_bench", bench)
    made = build(preset("tiny"), CASES["pointwise"])
    program = replace(made.program, memory_bytes=LARGEST_WINDOW)
    with pytest.raises(EngineError, match="^engine: read bus error at address 0x1000, among the instructions"):
        run_jobs([RtlJob(program, made.x[None])])


@pytest.mark.verify
def test_waveform(tmp_path: Path) -> None:
    made = build(preset("tiny"), CASES["pointwise"])
    waves = tmp_path / "waves"
    run_jobs([RtlJob(made.program, made.x[None])], waves=waves)
    assert waves.stat().st_size > 10_000


@pytest.mark.verify
@pytest.mark.parametrize("config", [*PRESETS.values(), *ODD], ids=lambda config: config.name)
def test_engines(config: AcceleratorConfig, seed: int) -> None:
    check_all(handmade_jobs(config, POINTS))
    jobs = network_jobs(config, seed, VERIFIED_NETWORKS)
    jobs |= depthwise_jobs(config, seed, VERIFIED_CHAINS) | extreme_jobs(config, seed, VERIFIED_EXTREMES)
    check_all(jobs)
    if config == preset("tiny"):  # whose buffers small networks fill
        check_all(more := blocked_jobs(config, seed, VERIFIED_BLOCKED))
        jobs |= more
        programs = [job.program for job, _ in jobs.values()]
        assert reached(programs) == choices(), "something that an instruction can say is left out"
        assert operators(programs) >= OPERATORS


def test_an_engine_is_kept_as_that_of_the_sources_it_was_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may change during a run: the gateware in memory is that of before."""
    of_tiny, of_small = engine_bench._key(preset("tiny")), engine_bench._key(preset("small"))
    assert of_tiny != of_small
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"changed")
    assert engine_bench._key(preset("tiny")) == of_tiny
