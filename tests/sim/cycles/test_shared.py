"""The two ports on one bus: what is known when, and who is served."""

from __future__ import annotations

import dataclasses

from hw.contract import timing
from hw.contract.config import preset
from hw.contract.isa import StoreInstruction, Target
from hw.contract.memory import Memory
from sim.cycles.shared import SharedReads, SharedStoreTimes, SharedWrites

SMALL = preset("small")  # beats of 8 bytes, bursts of 128
MEMORY = Memory(latency=10, beat_every=2, shared=True)
READ = timing.STORE_READ_LATENCY


def test_reads_wait_for_a_place_that_is_known_to_be_free() -> None:
    port, known = SharedReads(dataclasses.replace(SMALL, read_outstanding=2), MEMORY), list[int]()
    assert port.available is None
    port.take(0, 4, known.append)
    assert (port.free, port.available) == (1, 1 + 10)
    port.take(1, 4, None)
    assert port.free is None, "both places are taken"
    assert port.serve(20) == 26 == known[0]
    assert (port.free, port.available, port.taken) == (27, 2 + 10, 2)
    port.serve(28)
    assert port.bursts.tolist() == [1, 26, 2, 34]


def test_writes_run_ahead_of_the_bus_by_a_window() -> None:
    port = SharedWrites(SMALL, MEMORY)
    assert port.available is None
    assert port.begin(5, 20, None) and port.available == 6 + READ
    assert port.last_read is None, "eight beats are read; the others wait for the bus"
    assert not port.begin(30, 1, None), "nor is known when the next burst is read"
    assert port.serve(100) == (100 + 19 * 2, None, 100 + 19 * 2 + 10)
    assert port.last_read == 100 + 11 * 2 + 1, "the cycle after the eighth last beat before it was transferred"


def test_short_bursts_are_read_before_the_bus_serves_them() -> None:
    port = SharedWrites(SMALL, MEMORY)
    assert port.begin(0, 3, None) and port.last_read == 1 + 2
    assert port.begin(4, 5, 7) and port.last_read == 5 + 4, "the last of eight beats"
    assert port.begin(10, 2, None) is False
    assert port.serve(50)[0] == 54
    assert port.available == 55, "its first beat is offered when the last one before it is gone"
    assert port.begin(10, 2, None) and port.last_read == 52 + 1, "of ten beats the second was served"
    assert port.serve(56)[1] == 7


def test_writes_wait_for_responses() -> None:
    port = SharedWrites(dataclasses.replace(SMALL, write_outstanding=1), MEMORY)
    assert port.begin(0, 1, None) and not port.begin(3, 1, None)
    _, _, response = port.serve(9)
    assert response == 9 + 10 and port.begin(3, 1, None)
    assert port.bursts.tolist() == [1, 9] and port.available == (response + 1) + 1 + READ


def test_stores_end_in_order_once_they_were_served() -> None:
    store = SharedStoreTimes(dataclasses.replace(SMALL, write_outstanding=1), SharedWrites(SMALL, MEMORY))
    to_memory = StoreInstruction(words=4, rows=1, planes=1)
    assert store.begin(to_memory, 5) is None
    last_read = 5 + timing.REQUEST_LATENCY + 4
    assert store.ready == last_read + 1 + timing.FRONT_LATENCY, "the bus has not served it, and the front is empty"
    store.begin(dataclasses.replace(to_memory, target=Target.ACTIVATION), store.ready)
    assert store.done == [] and store.ready is None, "two are in flight"
    assert store.serve(40) == 46
    assert store.done == [46 + 10 + 1, 46 + 10 + 2] and store.ready == 46 + 10 + 1 + 1 + timing.FRONT_LATENCY
