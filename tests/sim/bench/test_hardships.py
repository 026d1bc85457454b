"""Whole networks while the memory stalls on all channels, errors stop runs and resets interrupt them.

No cycle is predicted here; every value is right.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.memory import Memory
from sim.bench.engine_bench import RtlJob, run_bench
from sim.bench.runner import BenchFailure
from sim.cycles import simulate
from tests.counting import VALUES, count
from tests.sim.bench.hardships import HARDSHIPS, endure, run_module
from tests.sim.handmade import CASES, build
from tests.sim.jobs import ODD, depthwise_jobs, network_jobs

pytestmark = pytest.mark.usefixtures("verilator")

NETWORKS = 8
CHAINS = 4
VERIFIED = [preset("tiny"), preset("small"), *ODD]
VERIFIED_NETWORKS = 40
"""Of each of them."""


def counted(config: AcceleratorConfig, seed: int, networks: int) -> None:
    counts = endure(network_jobs(config, seed, networks), seed)
    assert sum(counts[hardship] for hardship in HARDSHIPS.values()) == networks
    assert counts[VALUES] > 100 * networks
    for what, number in counts.items():
        count(number, what)


def test_results_are_right_under_hardships(seed: int) -> None:
    counted(preset("tiny"), seed, NETWORKS)


def test_depthwise_layers_under_hardships(seed: int) -> None:
    counts = endure(depthwise_jobs(preset("tiny"), seed, CHAINS), seed)
    assert sum(counts[hardship] for hardship in HARDSHIPS.values()) == CHAINS


def test_every_channel_stalls_as_the_seed_has_it(seed: int) -> None:
    made = build(preset("tiny"), CASES["residual"])
    job = RtlJob(made.program, made.x[None], Memory(8, 1))
    expected = {tensor: values[None] for tensor, values in made.expected.items()}
    cycles = run_module({"residual": (job, expected)}, seed, "tests.sim.bench.cocotb_stalls")
    assert cycles["steady"] == simulate(job.program, job.memory).cycles
    assert all(cycles[channel] > cycles["steady"] for channel in ("AR", "R", "AW", "W", "B"))
    assert cycles["again"] == cycles["AR"] != cycles["another seed"]
    assert cycles["longer"] > cycles["R"]
    assert cycles["data first"] and cycles["addresses first"] and not cycles["each first"]


def test_what_breaks_the_protocol_ends_the_simulation(tmp_path: Path) -> None:
    with pytest.raises(BenchFailure, match=r"cycle \d+, register port, AR: VALID in reset"):
        run_bench(preset("tiny"), "tests.sim.bench.cocotb_violation", tmp_path / "memory", 4096)


@pytest.mark.verify
@pytest.mark.parametrize("config", VERIFIED, ids=lambda config: config.name)
def test_many_networks(config: AcceleratorConfig, seed: int) -> None:
    counted(config, seed, VERIFIED_NETWORKS)
