"""What the bursts of a run add up to; that each is where and when it is, test_simulate.py plays out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw.contract.config import preset
from hw.contract.memory import Memory
from sim.cycles import simulate
from sim.cycles.traffic import Bursts, traffic
from tests.sim.handmade import CASES, build


def covered(bursts: Bursts, beat: int, size: int) -> np.ndarray:
    """Whether each byte of the window is in one of the bursts' beats."""
    found = np.zeros(size, bool)
    for address, beats in zip(bursts.address.tolist(), bursts.beats.tolist(), strict=True):
        found[address : address + beats * beat] = True
    return found


@pytest.mark.parametrize("config", ["tiny", "medium"])
@pytest.mark.parametrize("name", CASES)
def test_bytes_are_the_counters_and_cover_what_is_needed(config: str, name: str) -> None:
    try:
        program = build(preset(config), CASES[name]).program
    except ValueError:
        pytest.skip("does not fit this engine")
    timeline, c = simulate(program, Memory(20, 2)), program.config
    reads, writes = traffic(program, timeline)
    for bursts, counter in ((reads, "BYTES_READ"), (writes, "BYTES_WRITTEN")):
        assert bursts.size.sum() == timeline.counters[counter]
        assert (np.diff(bursts.asked) > 0).all() and (bursts.last >= bursts.asked + bursts.beats).all()
        assert (bursts.size <= bursts.beats * c.derived.beat_bytes).all() and (bursts.beats <= 256).all()
    assert covered(reads, c.derived.beat_bytes, program.memory_bytes)[: 32 * program.instructions].all()
    source, results = program.inputs[0], program.tensors
    assert covered(reads, c.derived.beat_bytes, program.memory_bytes)[source.address :][: source.size(c)].all()
    for placement in results:
        stored = covered(writes, c.derived.beat_bytes, program.memory_bytes)[placement.address :]
        assert stored[: placement.size(c)].all()


def test_rows_that_begin_inside_a_beat_count_their_own_bytes() -> None:
    program = build(preset("medium"), CASES["tiles"]).program  # rows of 9 words, two a beat
    _, writes = traffic(program, simulate(program))
    assert (writes.size < writes.beats * program.config.derived.beat_bytes).any()


def test_no_instructions() -> None:
    program = dataclasses.replace(build(preset("tiny"), CASES["pointwise"]).program, instructions=0)
    assert [len(bursts.asked) for bursts in traffic(program, simulate(program))] == [0, 0]
