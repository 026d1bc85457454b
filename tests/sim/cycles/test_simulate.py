"""The cycle model against the timing played out cycle by cycle."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.compiler import compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import IllegalInstruction, Opcode, Target, Unit
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import COUNTERS, STALL_CAUSES
from hw.contract.timing import QUEUE_INTERVAL, TOKEN_LATENCY
from sim.cycles import Timeline, simulate
from sim.cycles.traffic import traffic
from tests.sim.depthwise import depthwise_network
from tests.sim.handmade import CASES, build
from tests.sim.naive_cycles import Naive, expected
from tests.sim.programs import first, rewritten, with_copies


def assert_equal(program: Program, memory: Memory) -> Timeline:
    timeline = simulate(program, memory)
    run = Naive(program, memory)
    for k, instruction in enumerate(program.decode()):
        mine, theirs = (int(timeline.start[k]), int(timeline.end[k])), (run.start[k], run.end[k])
        assert mine == theirs, f"instruction {k} ({instruction}) on {memory}: start and end {mine}, expected {theirs}"
    assert timeline.counters == expected(run)
    for direction, bursts in zip(("READ", "WRITE"), traffic(program, timeline), strict=True):
        asked = zip(
            bursts.asked.tolist(), zip(bursts.address.tolist(), bursts.beats.tolist(), strict=True), strict=True
        )
        assert list(asked) == run.asked[direction] and bursts.last.tolist() == run.last[direction], direction
    assert [t for begin, end in timeline.passes.tolist() for t in range(begin, end)] == run.multiplying
    return timeline


@pytest.mark.parametrize("name", CASES)
def test_equals_cycle_by_cycle(name: str) -> None:
    assert_equal(build(preset("small"), CASES[name]).program, Memory(64, 2 if name in ("tiles", "wide") else 1))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", ["tiles", "wide", "max_pool"])
@pytest.mark.parametrize("config", ["tiny", "medium"])
def test_equals_cycle_by_cycle_where_results_stay_on_the_chip(config: str, name: str, before: bool) -> None:
    made = build(preset(config), CASES[name]).program
    for target, memory in ((Target.ACTIVATION, Memory(64, 2)), (Target.RESIDUAL, Memory(3))):
        timeline = assert_equal(with_copies(made, target, before), memory)
        assert timeline.counters["BYTES_WRITTEN"] == simulate(made, memory).counters["BYTES_WRITTEN"]


def test_instructions_that_wait_in_a_queue_start_one_after_the_other() -> None:
    """As soon as each can: nothing but the queue stands between SETUPs."""
    program = build(preset("tiny"), CASES["pointwise"]).program
    instructions = list(program.decode())
    load = next(i for i in instructions if i.opcode == Opcode.LOAD)
    setup = next(i for i in instructions if i.opcode == Opcode.SETUP)
    load = dataclasses.replace(load, wait=0, signal=1 << Unit.COMPUTE)
    waits, free = dataclasses.replace(setup, wait=1 << Unit.LOAD), dataclasses.replace(setup, wait=0)
    timeline = assert_equal(rewritten(program, [load, waits, free, free]), Memory(latency=200))
    assert (timeline.start[1:] - timeline.start[1]).tolist() == [0, QUEUE_INTERVAL, 2 * QUEUE_INTERVAL]
    assert timeline.start[1] == timeline.end[0] + TOKEN_LATENCY


def test_counters_are_the_registers() -> None:
    assert set(simulate(build(preset("small"), CASES["pointwise"]).program, Memory(64)).counters) == set(COUNTERS)


configs = st.builds(
    lambda base, **values: dataclasses.replace(preset(base), name="odd", **values),
    st.sampled_from(["tiny", "small", "medium", "large"]),
    max_burst=st.sampled_from([1, 3, 16, 64, 256]),
    queue_depth=st.sampled_from([1, 2, 4]),
    fetch_depth=st.sampled_from([8, 16, 32]),
    read_outstanding=st.integers(1, 4),
    write_outstanding=st.integers(1, 3),
)


QUICK = ["pointwise", "dilated", "residual", "max_pool", "average_padded"]


@settings(max_examples=25)
@given(configs, st.sampled_from(QUICK), st.integers(1, 40), st.integers(1, 3))
def test_equals_cycle_by_cycle_for_odd_engines_and_memories(
    config: AcceleratorConfig, name: str, latency: int, beat_every: int
) -> None:
    assert_equal(build(config, CASES[name]).program, Memory(latency, beat_every))


CONTENDED = ["tiles", "wide", "residual"]
"""Some of their results are stored while more is loaded."""


@settings(max_examples=15)
@given(configs, st.sampled_from(CONTENDED), st.integers(1, 40), st.integers(1, 3), st.sampled_from([None, *Target]))
def test_equals_cycle_by_cycle_on_a_shared_bus(
    config: AcceleratorConfig, name: str, latency: int, beat_every: int, copied: Target | None
) -> None:
    program = build(config, CASES[name]).program
    if copied not in (None, Target.MEMORY):
        program = with_copies(program, Target.RESIDUAL if CASES[name].pool else copied, before=latency % 2 == 0)
    assert_equal(program, Memory(latency, beat_every, shared=True))


@pytest.mark.parametrize("name", ["tiles", "wide", "max_pool"])
@pytest.mark.parametrize("latency", [1, 64])
def test_a_bus_moves_one_burst_at_a_time(name: str, latency: int) -> None:
    """A beat every B cycles, of both directions together; one that is alone is as fast as on a bus of its own."""
    program, every = build(preset("medium"), CASES[name]).program, 3
    timeline = simulate(program, Memory(latency, every, shared=True))
    spans = []
    for direction, bursts in enumerate(traffic(program, timeline)):
        first = bursts.last - (bursts.beats - 1) * every
        spans += [(*span, direction) for span in zip(first.tolist(), bursts.last.tolist(), strict=True)]
    spans.sort()
    for (_, last, _), (first, _, _) in itertools.pairwise(spans):
        assert first >= last + every
    assert {direction for *_, direction in spans} == {0, 1}
    apart = simulate(program, Memory(latency, every))
    assert timeline.cycles > apart.cycles or (name == "max_pool" and timeline.cycles == apart.cycles)
    for counter in ("BYTES_READ", "BYTES_WRITTEN"):
        assert timeline.counters[counter] == apart.counters[counter]


@pytest.mark.parametrize("name", ["small", "medium"])
def test_equals_cycle_by_cycle_for_depthwise_layers(name: str, seed: int) -> None:
    for number in range(3):
        program = compile_network(depthwise_network(100 * seed + number, layers=2), preset(name))
        assert_equal(program, Memory(20, 1 + number, shared=number == 1))


def test_layers_add_up() -> None:
    program = build(preset("tiny"), CASES["max_pool"]).program
    timeline = simulate(program)
    assert len(timeline.layer_cycles) == len(program.layers) == 2
    assert timeline.layer_cycles.sum() == timeline.cycles == timeline.counters["CYCLES"]
    assert timeline.layer_read.sum() == timeline.counters["BYTES_READ"]
    assert timeline.layer_written.sum() == timeline.counters["BYTES_WRITTEN"]
    assert timeline.layer_written.tolist() == [24 * 100, 24 * 25]


def test_stalls_of_instructions_add_up_to_the_counters() -> None:
    timeline = simulate(build(preset("tiny"), CASES["tiles"]).program)
    assert (timeline.stalls.sum(1) == timeline.start - timeline.ready).all()
    for unit in Unit:
        of_instructions = timeline.stalls[timeline.unit == unit].sum(0)
        for cause, cycles in zip(STALL_CAUSES, of_instructions, strict=True):
            if cause not in ("instruction", unit.name.lower()):  # the end of the run is a stall of no instruction
                assert timeline.stall(unit, cause) == cycles


def test_empty_program() -> None:
    program = dataclasses.replace(build(preset("tiny"), CASES["pointwise"]).program, instructions=0)
    assert_equal(program, Memory())
    assert simulate(program).cycles == 3


def test_program_that_never_ends() -> None:
    program = first(build(preset("tiny"), CASES["pointwise"]).program, Opcode.LOAD, wait=1 << Unit.STORE)
    with pytest.raises(IllegalInstruction, match=r"^instruction 0 \(LOAD, layer conv\): waits for a token of STORE"):
        simulate(program)
