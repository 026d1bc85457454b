"""Cutting a map into strips and bands."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from host.compiler.chip import OnChip
from host.compiler.cuts import bands_of, lone_bands_of, strips_of, turns_of
from host.compiler.problem import Problem, needed
from hw.contract.config import preset
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import Builder

POOLS = [None, Window((2, 2), (2, 2)), Window((3, 3), (2, 2), (1, 1, 1, 1)), Window((2, 2), (3, 3)), Window((5, 5))]


def posed(pool: Window | None, keep: bool = False) -> Problem:
    b = Builder(np.random.default_rng(1), (8, 23, 19))
    made = b.conv("x", 8)
    if pool is not None:
        b.pool(made, "max", pool)
    return problems(b.network(*([made] if keep else [])), preset("small"))[0][0]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 5, 23])
def test_bands_cover_every_row_once(pool: Window | None, rows: int) -> None:
    problem = posed(pool)
    bands = bands_of(problem, rows)
    assert all(0 < band.rows[1] - band.rows[0] <= rows for band in bands)
    assert bands[0].rows[0] == 0 and bands[-1].rows[1] == problem.results(0)
    assert all(a.rows[1] == b.rows[0] for a, b in itertools.pairwise(bands))
    if problem.layer.pooling is None:
        return
    pooled = [band for band in bands if band.pooled != (0, 0)]
    assert pooled[0].pooled[0] == 0 and pooled[-1].pooled[1] == problem.layer.pooling.result.shape[1]
    assert all(a.pooled[1] == b.pooled[0] for a, b in itertools.pairwise(pooled))
    for band in pooled:
        assert band.pool_rows == needed(problem.layer.pooling.window, 0, band.pooled, problem.layer.result.shape[1])
        assert band.pool_rows[1] <= band.rows[1], "a pooling waits for no later band"


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 4, 23])
@pytest.mark.parametrize("most", [1, 3, 23])
def test_turns_wait_for_no_row_of_another(pool: Window | None, rows: int, most: int) -> None:
    problem = posed(pool)
    turns, pooling = turns_of(problem, rows, most), problem.layer.pooling
    size = problem.results(0) if pooling is None else pooling.result.shape[1]
    full, done = problem.layer.result.shape[1], 0
    for turn in turns:
        written = done, min(done + rows, size)
        need = written if pooling is None else needed(pooling.window, 0, written, full)
        assert (turn[0].rows[0], turn[-1].rows[1]) == need
        assert all(a.rows[1] == b.rows[0] for a, b in itertools.pairwise(turn))
        assert all(0 < band.rows[1] - band.rows[0] <= most for band in turn)
        pooled = [band for band in turn if band.pooled != (0, 0)]
        assert all(need[0] <= band.pool_rows[0] and band.pool_rows[1] <= band.rows[1] for band in pooled)
        if pooling is not None:
            ends = [written[0], *(band.pooled[1] for band in pooled)]
            assert [band.pooled[0] for band in pooled] == ends[:-1] and ends[-1] == written[1]
        done = written[1]
    assert done == size


@pytest.mark.parametrize("rows", [1, 2, 4, 23])
@pytest.mark.parametrize("most", [1, 3, 23])
def test_turns_go_on_where_rows_wait(rows: int, most: int) -> None:
    """Each row is computed once, and each pooled row with the last of those that it needs."""
    problem = posed(Window((3, 3), (2, 2)))
    problem, pooling = dataclasses.replace(problem, chip=OnChip(pool_words=(0,))), problem.layer.pooling
    assert pooling is not None
    turns = turns_of(problem, rows, most)
    bands = [band for turn in turns for band in turn]
    assert [band.rows[0] for band in bands] == [0, *(band.rows[1] for band in bands[:-1])]
    assert bands[-1].rows[1] == problem.results(0)
    pooled = [band for band in bands if band.pooled != (0, 0)]
    assert [band.pooled[0] for band in pooled] == [0, *(band.pooled[1] for band in pooled[:-1])]
    assert all(turn[-1].pooled[1] == min((n + 1) * rows, pooling.result.shape[1]) for n, turn in enumerate(turns))
    for band in pooled:
        assert band.pool_rows == needed(pooling.window, 0, band.pooled, problem.layer.result.shape[1])
        assert band.pool_rows[1] <= band.rows[1]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("rows", [1, 5, 7, 23])
def test_lone_bands_compute_all_that_they_pool(pool: Window | None, rows: int) -> None:
    problem = posed(pool)
    bands, pooling = lone_bands_of(problem, rows), problem.layer.pooling
    if pooling is None:
        assert bands == bands_of(problem, rows)
        return
    assert bands[0].pooled[0] == 0 and bands[-1].pooled[1] == pooling.result.shape[1]
    assert all(a.pooled[1] == b.pooled[0] for a, b in itertools.pairwise(bands))
    for band in bands:
        assert band.rows == band.pool_rows == needed(pooling.window, 0, band.pooled, problem.layer.result.shape[1])
        assert band.rows[1] - band.rows[0] <= max(rows, pooling.window.kernel[0])


@pytest.mark.parametrize("keep", [False, True], ids=["pooled alone", "kept too"])
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("step", [1, 3, 4])
def test_strips_cover_every_column_that_somebody_needs(pool: Window | None, keep: bool, step: int) -> None:
    problem = posed(pool, keep)
    pooling = problem.layer.pooling
    width = problem.results(1) if pooling is None else pooling.result.shape[2]
    strips = strips_of(problem, width, step)
    covered = {column for strip in strips for column in range(*strip.columns)}
    if pooling is None or keep:
        assert covered == set(range(19))
    for strip in strips:
        if len(strips) > 1:
            assert strip.inputs == needed(problem.window, 1, strip.columns, problem.geometry.width)
        if pooling is None:
            assert strip.pooled[0] == strip.pooled[1]
        else:
            assert strip.pooled[1] - strip.pooled[0] <= step
            need = needed(pooling.window, 1, strip.pooled, 19)
            assert strip.columns[0] <= need[0] and need[1] <= strip.columns[1]
