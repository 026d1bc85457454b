"""Bytes over time, against beats counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import preset
from hw.contract.memory import Memory
from sim.cycles import simulate
from sim.cycles.bandwidth import bandwidth
from sim.cycles.traffic import traffic
from tests.sim.handmade import CASES, build


@pytest.mark.parametrize("name", ["tiles", "wide", "max_pool"])
@pytest.mark.parametrize("memory", [Memory(64, 1), Memory(9, 3), Memory(9, 3, shared=True)])
def test_beats_one_by_one(name: str, memory: Memory) -> None:
    program = build(preset("medium"), CASES[name]).program
    timeline, beat = simulate(program, memory), program.config.derived.beat_bytes
    edges = np.unique(np.append(np.arange(0, timeline.cycles, 37), timeline.cycles))
    for bursts, counter in zip(traffic(program, timeline), ("BYTES_READ", "BYTES_WRITTEN"), strict=True):
        found = bandwidth(bursts, memory, edges)
        assert found.sum() == timeline.counters[counter] and (found >= 0).all()
        taken = np.zeros(timeline.cycles, np.int64)
        spare = 0
        for last, beats, size in zip(bursts.last.tolist(), bursts.beats.tolist(), bursts.size.tolist(), strict=True):
            taken[last - (beats - 1) * memory.beat_every : last + 1 : memory.beat_every] += beat
            spare = max(spare, beats * beat - size)
        # Bytes without a strobe are at a burst's ends, and here they are taken off all its beats.
        off = np.abs(np.cumsum(found) - np.cumsum(np.add.reduceat(taken, edges[:-1])))
        assert (off == 0).all() if counter == "BYTES_READ" else (off <= len(bursts.size) * spare).all()
        most = -(-np.diff(edges) // memory.beat_every) * beat
        assert (found <= most).all()


def test_nothing_moved() -> None:
    _, writes = traffic(program := build(preset("tiny"), CASES["pointwise"]).program, simulate(program))
    first = int(writes.asked[0])
    assert bandwidth(writes, Memory(), np.array([0, first // 2, first])).tolist() == [0, 0]
