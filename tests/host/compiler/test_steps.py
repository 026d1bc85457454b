"""A tiled layer as steps."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler.steps import Plan, Tiled, add_layers
from host.compiler.tiling import Tiling, ways
from hw.contract.config import preset
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import Builder

CONFIG = preset("tiny")


def planned(tiling: Tiling | None = None, residual: bool = False) -> list[tuple[Tiling, Plan]]:
    """Every way to run the last layer of a small network, and its plan."""
    b = Builder(np.random.default_rng(1), (20, 12, 12))
    first = b.conv("x", 20, Window())
    b.conv(first, 14, residual=b.conv("x", 14, Window()) if residual else None)
    found, memory = problems(b.network(), CONFIG)
    posed, made = found[-1], []
    for way in [tiling] if tiling else list(ways(posed)):
        plan = Plan()
        add_layers(plan, [Tiled(posed, way, 0)], memory.placements)
        made.append((way, plan))
    return made


@pytest.mark.parametrize("residual", [False, True])
def test_every_way_computes_every_result_of_every_input_group_once(residual: bool) -> None:
    for way, plan in planned(residual=residual):
        seen = np.zeros((12, 12, 4, 5), int)
        for step in plan.steps:
            seen[slice(*step.band.rows), slice(*step.strip.columns), step.group, slice(*step.chunk)] += 1
        assert (seen == 1).all(), way


def test_chunks_of_a_tile_follow_each_other() -> None:
    """Partial sums stay in the accumulator's memory, which holds one tile."""
    for _, plan in planned():
        under_way = None
        for step in plan.steps:
            tile = (step.strip, step.band, step.group)
            assert step.first == (under_way is None) and under_way in (None, tile)
            under_way = None if step.last else tile


def test_what_a_step_reads_is_filled_before_it_and_kept_until_its_last_reader() -> None:
    for _, plan in planned(residual=True):
        filled: dict[int, int] = {}
        for fill in plan.fills:
            filled.setdefault(id(fill.piece), fill.step)
        for index, step in enumerate(plan.steps):
            assert all(filled[id(piece)] <= index <= piece.last for piece in step.pieces)
        assert [fill.step for fill in plan.fills] == sorted(fill.step for fill in plan.fills)


def test_weights_that_stay_are_read_once() -> None:
    for way, plan in planned():
        weights = [fill for fill in plan.fills if fill.tensor is None]
        assert len(weights) == len({fill.loads for fill in weights}) == 4 * -(-5 // way.chunk), (
            "all of them fit the buffer"
        )


def test_an_input_that_is_read_as_a_whole_is_read_once() -> None:
    for way, plan in planned():
        if way.reading == "whole":
            words = sum(load.beats * load.rows for fill in plan.fills if fill.tensor for load in fill.loads)
            assert words == 5 * 144 * CONFIG.derived.beats_per_word // CONFIG.derived.words_per_beat
