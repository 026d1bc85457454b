"""Rows as bursts, and the two ports."""

from __future__ import annotations

import dataclasses

import pytest

from hw.contract.config import preset
from hw.contract.isa import LoadInstruction, StoreInstruction
from hw.contract.memory import Memory
from sim.cycles.bursts import ReadTimes, WriteTimes, load_bursts, row_bursts, store_bursts

SMALL = preset("small")  # beats of 8 bytes, bursts of 128


@pytest.mark.parametrize(
    ("address", "size", "lengths"),
    [
        (0, 8, (1,)),
        (4, 8, (2,)),  # a beat is read whole at both ends
        (0, 8 * 300, (128, 128, 44)),
        (4096 - 16, 40, (2, 3)),  # none crosses a page
        (4096 - 8 * 130, 8 * 140, (128, 2, 10)),
    ],
)
def test_rows(address: int, size: int, lengths: tuple[int, ...]) -> None:
    assert row_bursts(SMALL, address, size) == lengths


def test_instructions() -> None:
    load = LoadInstruction(address=4096 - 16, beats=4, rows=2, pitch=4096)
    assert load_bursts(SMALL, load) == [2, 2, 2, 2]
    store = StoreInstruction(address=64, words=3, rows=2, row_pitch=24, planes=2, plane_pitch=4096 - 80)
    assert store_bursts(SMALL, store) == [3, 3, 2, 1, 3], "the second plane begins 16 bytes before a page"


def test_reads_wait_for_a_place() -> None:
    port = ReadTimes(dataclasses.replace(SMALL, read_outstanding=2), Memory(latency=10))
    assert [port.take(0, 4), port.take(port.free, 4)] == [0 + 1 + 10 + 3, 18]
    assert port.free == 15, "the cycle after the last beat of the burst before the last one"


def test_writes_run_ahead_by_a_window() -> None:
    port = WriteTimes(SMALL, Memory(latency=10, beat_every=2))
    _, last_read, response = port.send(offered=5, beats=20)
    first = 5 + 1 + 3  # accepted in 5, first read in 6, three cycles later on the channel
    assert response == first + 19 * 2 + 10
    assert last_read == first + 11 * 2 + 1, "eight beats are read and not transferred"
