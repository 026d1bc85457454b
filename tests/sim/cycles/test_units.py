"""The units as recurrences: ends and next starts by the text of docs/architecture.md."""

from __future__ import annotations

from hw.contract import timing
from hw.contract.config import preset
from hw.contract.isa import (
    ConvInstruction,
    LoadInstruction,
    PoolInstruction,
    PoolKind,
    SetupInstruction,
    StoreInstruction,
)
from hw.contract.memory import Memory
from hw.contract.weights import gateware_format
from sim.cycles.bursts import ReadTimes, WriteTimes
from sim.cycles.units import ComputeTimes, LoadTimes, PoolTimes, StoreTimes

CONFIG = preset("small")
BLOCK = gateware_format(CONFIG).block_beats(CONFIG)


def test_load_waits_for_the_fetch() -> None:
    load, port = LoadTimes(CONFIG), ReadTimes(CONFIG, Memory(latency=10))
    assert load.begin(LoadInstruction(beats=200, rows=1), 5) is None and load.ready is None
    assert load.issue(port, before=7) is None, "the fetch asks in the same cycle: it has priority"
    port.take(7, 4)
    assert load.issue(port, before=None) == 8 + 10 + 3 + 200 + 1
    assert load.ready == 12, "two bursts, taken in 8 and 10"


def test_passes_follow_without_gaps() -> None:
    compute = ComputeTimes(CONFIG)
    assert compute.begin(SetupInstruction(kernel_rows=3, kernel_columns=3), 0) == 1
    conv = ConvInstruction(input_groups=2, out_rows=4, out_columns=5, first=1, last=1)
    end = 1 + timing.compute_prepare(CONFIG, gateware_format(CONFIG), True) + 18 * 20
    assert compute.begin(conv, 1) == end + timing.compute_latency(CONFIG)
    assert compute.ready == end - 20 + timing.FRONT_LATENCY
    later, latency = compute.begin(conv, compute.ready), timing.compute_latency(CONFIG)
    assert later == end + 18 * 20 + latency, "the second one's passes begin where the first one's end"


def test_nothing_starts_while_a_table_is_read() -> None:
    compute = ComputeTimes(CONFIG)
    setup = SetupInstruction(kernel_rows=1, kernel_columns=1, table=1, table_load=1)
    assert compute.begin(setup, 3) == 4, "it is done before"
    assert compute.ready == 4 + 256 * 2 // 4 + timing.FRONT_LATENCY


def test_short_passes_wait_for_their_weights() -> None:
    compute = ComputeTimes(CONFIG)
    compute.begin(SetupInstruction(kernel_rows=1, kernel_columns=1), 0)
    conv = ConvInstruction(input_groups=5, out_rows=1, out_columns=1)
    start = 1 + BLOCK + 2
    assert compute.begin(conv, 1) == start + 5 * BLOCK + timing.compute_latency(CONFIG)


def test_pool() -> None:
    pool = PoolTimes(CONFIG)
    fields = {"kernel_rows": 2, "kernel_columns": 2, "out_rows": 3, "out_columns": 3}
    assert pool.begin(PoolInstruction(**fields), 7) == 7 + 1 + 9 * 4 + timing.POOL_LATENCY
    average = PoolInstruction(kind=PoolKind.AVERAGE, **fields)
    start, lanes = pool.ready, CONFIG.oc_lanes
    assert start is not None
    assert pool.begin(average, start) == start + 1 + 9 * lanes + lanes + timing.AVERAGE_LATENCY


def test_store() -> None:
    store = StoreTimes(CONFIG, WriteTimes(CONFIG, Memory(latency=10)))
    done = store.begin(StoreInstruction(words=4, rows=1, planes=1), 5)
    assert done == (7 + 1 + timing.STORE_READ_LATENCY + 3) + 10 + 1
    assert store.ready == 7 + 1 + 3 + 1 + timing.FRONT_LATENCY, "empty in the cycle after the last beat was read"
