"""Tokens: every hazard of random programs is covered, none is given in vain, and no program can deadlock."""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.compiler.tokens import Access, Task, schedule
from hw.contract.isa import Unit

DEPTH = 32


def random_tasks(rng: np.random.Generator, count: int) -> list[Task]:
    """Instructions that read and write stretches of two rings and a memory."""

    def accesses(most: int) -> list[Access]:
        found = []
        for _ in range(int(rng.integers(most + 1))):
            store, depth = [("ring", DEPTH), ("other", DEPTH), ("memory", 0)][int(rng.integers(3))]
            found.append(Access(store, int(rng.integers(4 * DEPTH)), int(rng.integers(1, 9)), depth))
        return found

    return [Task(Unit(int(rng.integers(4))), accesses(2), accesses(2)) for _ in range(count)]


def cells(accesses: list[Access]) -> set[tuple[str, int]]:
    """Addresses one by one."""
    found = set()
    for a in accesses:
        found |= {(a.store, i % a.depth if a.depth else i) for i in range(a.start, a.start + a.length)}
    return found


def orders(tasks: list[Task]) -> list[set[int]]:
    """For each task, those that are surely done when it starts; by tokens in the order given, the k-th for the k-th."""
    waiting: dict[tuple[Unit, Unit], deque[int]] = {}
    before: list[set[int]] = []
    last: dict[Unit, int] = {}
    for index, task in enumerate(tasks):
        done: set[int] = set()
        if task.unit in last:  # units start in order; what their last one waited for is done, itself ends before, too
            done |= before[last[task.unit]] | {last[task.unit]}
        for other in Unit:
            if task.wait >> other & 1:
                queue = waiting.setdefault((other, task.unit), deque())
                assert queue, "a wait needs a signal of an earlier instruction: no deadlock otherwise"
                giver = queue.popleft()
                done |= before[giver] | {giver}
        before.append(done)
        last[task.unit] = index
        for other in Unit:
            if task.signal >> other & 1:
                waiting.setdefault((task.unit, other), deque()).append(index)
    return before


def uncovered(tasks: list[Task]) -> list[tuple[int, int]]:
    """Pairs of instructions of different units that meet, not both reading, and are not ordered."""
    before = orders(tasks)
    reads, writes = ([cells(list(getattr(t, what))) for t in tasks] for what in ("reads", "writes"))
    found = []
    for j in range(len(tasks)):
        for i in range(j):
            if tasks[i].unit == tasks[j].unit or i in before[j]:
                continue
            if writes[i] & (reads[j] | writes[j]) or reads[i] & writes[j]:
                found.append((i, j))
    return found


def pairs(tasks: list[Task]) -> list[tuple[int, int]]:
    """Each token: who gives it and who takes it."""
    waiting: dict[tuple[Unit, Unit], deque[int]] = {}
    found = []
    for index, task in enumerate(tasks):
        for other in Unit:
            if task.wait >> other & 1:
                found.append((waiting[other, task.unit].popleft(), index))
        for other in Unit:
            if task.signal >> other & 1:
                waiting.setdefault((task.unit, other), deque()).append(index)
    assert not any(waiting.values()), "every token is taken"
    return found


@settings(max_examples=200)
@given(st.integers(0, 1 << 32), st.integers(2, 60))
def test_every_hazard_is_covered(number: int, count: int) -> None:
    tasks = random_tasks(np.random.default_rng(number), count)
    schedule(tasks)
    assert uncovered(tasks) == []
    for task in tasks:
        assert not (task.wait | task.signal) >> task.unit & 1, "a unit does not meet itself"


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(2, 24))
def test_no_token_is_given_in_vain(number: int, count: int) -> None:
    tasks = random_tasks(np.random.default_rng(number), count)
    schedule(tasks)
    for giver, taker in pairs(tasks):
        fewer = [dataclasses.replace(task) for task in tasks]
        fewer[giver].signal &= ~(1 << fewer[taker].unit)
        fewer[taker].wait &= ~(1 << fewer[giver].unit)
        assert uncovered(fewer), f"the token from {giver} to {taker} orders nothing"


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(1, 80), st.integers(1, 4))
def test_dispatch_in_order_never_deadlocks(number: int, count: int, depth: int) -> None:
    rng = np.random.default_rng(number)
    tasks = random_tasks(rng, count)
    schedule(tasks)
    queues: dict[Unit, deque[Task]] = {unit: deque() for unit in Unit}
    tokens = {(giver, taker): 0 for giver in Unit for taker in Unit}
    stream, finished = deque(tasks), 0
    while finished < count:
        moved = False
        if stream and len(queues[stream[0].unit]) < depth:
            queues[stream[0].unit].append(stream.popleft())
            moved = True
        for unit in rng.permutation(list(Unit)):
            queue = queues[Unit(unit)]
            wanted = [other for other in Unit if queue and queue[0].wait >> other & 1]
            if queue and all(tokens[other, Unit(unit)] for other in wanted):
                task = queue.popleft()
                for other in wanted:
                    tokens[other, task.unit] -= 1
                for other in Unit:
                    tokens[task.unit, other] += task.signal >> other & 1
                finished, moved = finished + 1, True
        assert moved, "nothing can go on"


def test_a_token_that_another_unit_implies_is_left_out() -> None:
    tasks = [
        Task(Unit.LOAD, writes=[Access("activation", 0, 4)]),
        Task(Unit.COMPUTE, reads=[Access("activation", 0, 4)], writes=[Access("output", 0, 4)]),
        Task(Unit.STORE, reads=[Access("output", 0, 4)], writes=[Access("activation", 0, 4)]),
    ]
    schedule(tasks)
    assert [(t.wait, t.signal) for t in tasks] == [
        (0, 1 << Unit.COMPUTE), (1 << Unit.LOAD, 1 << Unit.STORE), (1 << Unit.COMPUTE, 0),
    ]  # fmt: skip


def test_readers_do_not_wait_for_readers() -> None:
    tasks = [Task(unit, reads=[Access("ring", 28, 8, DEPTH)]) for unit in Unit]
    schedule(tasks)
    assert all(task.wait == task.signal == 0 for task in tasks)


def test_rings_wrap() -> None:
    tasks = [
        Task(Unit.LOAD, writes=[Access("ring", 30 + 3 * DEPTH, 4, DEPTH)]),
        Task(Unit.COMPUTE, reads=[Access("ring", 1, 1, DEPTH)]),
        Task(Unit.COMPUTE, reads=[Access("ring", 2, 1, DEPTH)]),
    ]
    schedule(tasks)
    assert [task.wait for task in tasks] == [0, 1 << Unit.LOAD, 0]


def test_an_access_longer_than_its_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="ring: 33 of 32 addresses"):
        schedule([Task(Unit.LOAD, writes=[Access("ring", 0, 33, DEPTH)])])
