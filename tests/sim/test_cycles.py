"""The cycle model against the timing played out cycle by cycle."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.program import Program
from sim.cycles import Timeline, simulate
from sim.memory import Memory
from tests.sim.handmade import CASES, build
from tests.sim.naive_cycles import expected


def assert_equal(program: Program, memory: Memory) -> Timeline:
    timeline = simulate(program, memory)
    counters, start, end = expected(program, memory)
    for k, instruction in enumerate(program.decode()):
        mine, theirs = (int(timeline.start[k]), int(timeline.end[k])), (start[k], end[k])
        assert mine == theirs, f"instruction {k} ({instruction}) on {memory}: start and end {mine}, expected {theirs}"
    assert timeline.counters == counters
    return timeline


@pytest.mark.parametrize("name", CASES)
def test_equals_cycle_by_cycle(name: str) -> None:
    for memory in (Memory(8, 1), Memory(64, 2)):
        assert_equal(build(preset("tiny"), CASES[name]).program, memory)


configs = st.builds(
    lambda base, **values: dataclasses.replace(preset(base), name="odd", **values),
    st.sampled_from(["tiny", "small", "medium", "large"]),
    max_burst=st.sampled_from([1, 3, 16, 64, 256]),
    queue_depth=st.sampled_from([1, 2, 4]),
    fetch_depth=st.sampled_from([8, 16, 32]),
    read_outstanding=st.integers(1, 4),
    write_outstanding=st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(configs, st.sampled_from(sorted(set(CASES) - {"chunks"})), st.integers(1, 90), st.integers(1, 5))
def test_equals_cycle_by_cycle_for_odd_engines_and_memories(
    config: AcceleratorConfig, name: str, latency: int, beat_every: int
) -> None:
    assert_equal(build(config, CASES[name]).program, Memory(latency, beat_every))
