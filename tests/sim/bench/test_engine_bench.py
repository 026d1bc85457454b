"""The whole engine in Verilog, driven through its pins: every tensor and every counter, to the cycle.

All programs run in one simulator process, on an engine built once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from host.compiler import CannotCompile, compile_network
from host.driver import EngineError
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from quant.base.errors import UnsupportedNetwork
from quant.ir.well_formed import Malformed
from quant.run.execute import execute
from sim.bench import engine_bench, toolchain
from sim.bench.engine_bench import RtlJob, RtlResult, run_jobs
from sim.cycles import simulate
from sim.executor import run
from sim.memory import Memory
from tests.host.extremes import extreme_network
from tests.host.networks import image
from tests.sim.equal import assert_counters, assert_tensors
from tests.sim.handmade import CASES, build
from tests.sim.networks import random_images, random_network

POINTS = [Memory(latency, beat_every) for latency in (8, 64, 200) for beat_every in (1, 2)]
ODD = [
    # as little of everything as there can be, and bursts that no power of two divides
    replace(preset("tiny"), name="meagre", max_burst=3, queue_depth=1, fetch_depth=8, read_outstanding=1,
            write_outstanding=1),
    # two beats a word, two planes, 48 bits
    replace(preset("tiny"), name="slow_port", ic_lanes=8, oc_lanes=16, acc_bits=48, residual_depth=1024),
    # four words a beat, a weight block of one beat, four planes
    replace(preset("tiny"), name="fast_port", ic_lanes=2, oc_lanes=8, axi_bits=128, fetch_depth=32),
]  # fmt: skip
NETWORKS = 12
EXTREMES = 10
VERIFIED_NETWORKS = 150
VERIFIED_EXTREMES = 100

Jobs = dict[str, tuple[RtlJob, dict[str, np.ndarray]]]
"""Jobs by name, each with the tensors (N, C, H, W) that must come out."""


def handmade_jobs(config: AcceleratorConfig, points: list[Memory]) -> Jobs:
    jobs: Jobs = {}
    for name, case in CASES.items():
        made = build(config, case)
        expected = {tensor: values[None] for tensor, values in made.expected.items()}
        for memory in points:
            jobs[f"{name} {memory}"] = (RtlJob(made.program, made.x[None], memory), expected)
    return jobs


def network_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Random networks through the real compiler, two images each, each on a memory of its own."""
    jobs: Jobs = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        network = random_network(int(rng.integers(1 << 30)), layers=int(rng.integers(2, 7)))
        memory = Memory(int(rng.integers(1, 250)), int(rng.integers(1, 5)))
        try:
            program = compile_network(network, config)
        except CannotCompile:
            continue
        images = random_images(network, 2, number)
        expected = execute(network, images, [p.tensor for p in program.tensors])
        base = 4096 * int(rng.integers(1 << 18))
        jobs[f"network {number} of seed {seed}, {memory}"] = (RtlJob(program, images, memory, base), expected)
    return jobs


def extreme_jobs(config: AcceleratorConfig, seed: int, count: int) -> Jobs:
    """Networks at the ends of what the compiler accepts, among many that it does not."""
    jobs: Jobs = {}
    for number in range(100 * count):
        if len(jobs) == count:
            return jobs
        rng = np.random.default_rng([seed, number])
        network = extreme_network(rng)
        try:
            program = compile_network(network, config)
        except (CannotCompile, UnsupportedNetwork, Malformed):
            continue
        images = image(network, rng)[None]
        expected = execute(network, images, [p.tensor for p in program.tensors])
        jobs[f"extreme network {number} of seed {seed}"] = (RtlJob(program, images), expected)
    raise AssertionError("hardly any extreme network is accepted")


def check(job: RtlJob, result: RtlResult, expected: dict[str, np.ndarray], name: str) -> None:
    assert_tensors(job.program, expected, result.tensors, "Verilog")
    model = [run(job.program, image, check=True) for image in job.images]
    assert_tensors(job.program, expected, {t: np.stack([m[t] for m in model]) for t in model[0]}, "executor")
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


@pytest.fixture(scope="module", autouse=True)
def _toolchain() -> None:
    try:
        toolchain.require()
    except toolchain.ToolchainError as error:
        pytest.skip(str(error))


def test_convolutions_by_hand() -> None:
    check_all(handmade_jobs(preset("tiny"), POINTS))


def test_compiled_networks(seed: int) -> None:
    check_all(network_jobs(preset("tiny"), seed, NETWORKS))


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
    check_all(network_jobs(config, seed, VERIFIED_NETWORKS))
    check_all(extreme_jobs(config, seed, VERIFIED_EXTREMES))
