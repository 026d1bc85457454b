"""A tiled layer as steps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler.steps import Plan, Tiled, add_layers
from host.compiler.tiling import Tiling, ways
from hw.contract.config import preset
from hw.contract.isa import Buffer
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


def test_few_weights_of_a_block_come_together() -> None:
    """With one LOAD where those of all its output groups take an eighth of their buffer at most; each CONV reads its
    own, and all are those that it would have alone."""
    config = dataclasses.replace(CONFIG, activation_depth=4096)
    b = Builder(np.random.default_rng(1), (256, 9, 9))
    b.conv("x", 40, Window())
    (posed,), memory = problems(b.network(), config)
    seen = set()
    for way in (way for way in ways(posed) if way.block > 1 and way.tiles == 1):
        plan = Plan()
        add_layers(plan, [Tiled(posed, way, 0)], memory.placements)
        starts = {fill.piece: fill.loads[0].address for fill in plan.fills if fill.piece.buffer is Buffer.WEIGHT}
        for step in plan.steps:
            beats = posed.outputs.head_beats + (step.chunk[1] - step.chunk[0]) * posed.block_beats
            few = 3 * beats <= config.weight_depth // 8
            groups = {one.group for one in plan.steps if one.weights is step.weights}
            seen.add(few)
            assert len(groups) == (min(3, 10 - step.group // 3 * 3) if few else 1)
            first, last = (starts[step.weights] + edge * config.derived.beat_bytes for edge in step.weights_at)
            data = bytes(plan.weights[first:last])
            assert data.endswith(posed.outputs.blocks(step.group, step.chunk))
            ahead = posed.outputs.parameters(step.group) if step.first or step.again else b""
            assert data[: len(data) - len(posed.outputs.blocks(step.group, step.chunk))] == ahead
    assert seen == {True, False}
