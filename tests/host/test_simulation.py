"""Running a program: what the models say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host.simulation import layers_of, over_time_of, simulate_model, spans_of
from host.terminal import Reporter
from hw.contract import program as programs
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import STALL_CAUSES
from sim.cycles import simulate

QUIET = Reporter(quiet=True)


@pytest.fixture
def program(finished_once: Path) -> Program:
    return programs.load(finished_once / "network.program")


@pytest.fixture
def x(program: Program, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-128, 128, (2, *next(iter(program.input_shapes.values()))))


def test_the_models(program: Program, x: np.ndarray) -> None:
    memory = Memory(latency=20, beat_every=2)
    taken = simulate_model(program, x, memory, QUIET)
    facts = taken.facts
    assert facts["memory"] == {"latency": 20, "beat_every": 2, "shared": False}
    assert facts["cycles"] == facts["counters"]["CYCLES"] == simulate(program, memory).cycles
    assert all(len(tensor) == 2 for tensor in taken.tensors.values())
    assert taken.to_json()["digests"] == taken.digests


def test_layers_add_up_to_the_run(program: Program) -> None:
    timeline = simulate(program, Memory())
    layers = layers_of(timeline)
    assert len(layers) == len(program.layers)
    assert sum(layer["cycles"] for layer in layers) == timeline.cycles
    assert sum(layer["bytes_written"] for layer in layers) == timeline.counters["BYTES_WRITTEN"]
    assert all(list(layer["stalls"]) == list(STALL_CAUSES) for layer in layers)


def test_spans_are_in_order_and_whole(program: Program) -> None:
    spans = spans_of(simulate(program, Memory()))
    assert {span["unit"] for span in spans} >= {"load", "compute", "store"}
    for unit in {span["unit"] for span in spans}:
        mine = [span for span in spans if span["unit"] == unit]
        assert all(span["start"] < span["end"] for span in mine)
        assert [span["start"] for span in mine] == sorted(span["start"] for span in mine)
    assert len(spans_of(simulate(program, Memory()), most=1)) <= len(spans)


@pytest.mark.parametrize("most", [1, 7, 200])
def test_what_is_moved_over_time_adds_up(program: Program, most: int) -> None:
    timeline = simulate(program, Memory(20, 3))
    found = over_time_of(program, timeline, most)
    stretches = len(found["read"])
    assert stretches <= most and stretches == -(-timeline.cycles // found["every"]) == len(found["written"])
    assert sum(found["read"]) == timeline.counters["BYTES_READ"]
    assert sum(found["written"]) == timeline.counters["BYTES_WRITTEN"]
    assert len(found["buffers"]) == 7
    for buffer in found["buffers"]:
        assert buffer["words"] == getattr(program.config, f"{buffer['name']}_depth")
        assert len(buffer["mean"]) == stretches and max(buffer["mean"]) <= buffer["peak"] <= buffer["words"]
