"""Which load comes next."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from host.compiler.cost import cost
from host.compiler.prefetch import Prefetch
from host.compiler.room import Room
from host.compiler.steps import Fill, Plan, Tiled, add_layers
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Buffer
from hw.contract.memory import Memory
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import Builder


def emitted(
    config: AcceleratorConfig, network: Network | None = None, memory: Memory | None = None
) -> tuple[Plan, list[tuple[int, Fill]]]:
    """The plan of two layers, the second of which reads the first, and its fills, each with the step it precedes."""
    b = Builder(np.random.default_rng(1), (16, 16, 16))
    b.conv(b.conv("x", 16), 16)
    found, places = problems(network or b.network(), config, memory)
    plan = Plan()
    for number, posed in enumerate(found):
        add_layers(plan, [Tiled(posed, min(ways(posed), key=lambda way: cost(posed, way)), number)], {})
    room = Room(config, plan)
    prefetch = Prefetch(plan, places, config, room)
    fills = []
    for index, step in enumerate(plan.steps):
        fills += [(index, fill) for fill in prefetch.before(index)]
        prefetch.passed(index)
        room.release(step, index)
    return plan, fills


CONFIGS = [preset("tiny"), preset("medium"), dataclasses.replace(preset("tiny"), name="short", queue_depth=1)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_every_fill_comes_before_its_step_and_behind_what_it_reads(config: AcceleratorConfig) -> None:
    plan, fills = emitted(config)
    assert len(fills) == len(plan.fills) and all(index <= fill.step for index, fill in fills)
    first = next(k for k, step in enumerate(plan.steps) if step.layer == 1)
    own = [(index, fill) for index, fill in fills if fill.layer == 1 and fill.tensor is not None]
    rows = {k: step.band.rows for k, step in enumerate(plan.steps) if step.layer == 0 and step.last}
    for index, fill in own:
        needed = max(k for k, (start, end) in rows.items() if start * 16 < fill.words[1] and end * 16 > fill.words[0])
        assert index > needed, "the rows that it reads are written by then"
    assert min(index for index, fill in fills if fill.layer == 1) < first, "weights at least come ahead of the layer"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_no_more_than_half_a_queue_runs_ahead(config: AcceleratorConfig) -> None:
    _, fills = emitted(config)
    for buffer in Buffer:
        ahead: list[int] = []
        for index, fill in (pair for pair in fills if pair[1].piece.buffer is buffer):
            ahead = [step for step in ahead if step >= index]
            assert fill.step <= index or len(ahead) < max(1, config.queue_depth // 2)
            ahead.append(fill.step)


def test_fills_of_one_buffer_keep_their_order() -> None:
    plan, fills = emitted(preset("tiny"))
    for buffer in Buffer:
        own = [fill for _, fill in fills if fill.piece.buffer is buffer]
        assert own == [fill for fill in plan.fills if fill.piece.buffer is buffer]


@pytest.mark.parametrize("every", [1, 16])
def test_inputs_do_not_queue_behind_weights_of_the_next_layer(every: int) -> None:
    """Of a layer in many bands, before one of many weights: these come first only if there is time for both."""
    b = Builder(np.random.default_rng(1), (8, 120, 64))
    b.conv(b.conv("x", 16, Window()), 16, Window((3, 9), (1, 1), (1, 4, 1, 4)))
    _, fills = emitted(preset("medium"), b.network(), Memory(beat_every=every))
    later = min(k for k, (_, fill) in enumerate(fills) if fill.layer == 1 and fill.piece.buffer is Buffer.WEIGHT)
    inputs = [k for k, (_, fill) in enumerate(fills) if fill.layer == 0 and fill.piece.buffer is Buffer.ACTIVATION]
    assert len(inputs) > 4, "more than may run ahead"
    assert (later < max(inputs)) == (every == 1)


def _beats(fill: Fill) -> list[tuple[int, int]]:
    """Which beats of its piece a fill brings, each with its address."""
    return [
        (load.offset + row * load.destination_pitch + beat, load.address + row * load.pitch + 8 * beat)
        for load in fill.loads
        for row in range(load.rows)
        for beat in range(load.beats)
    ]


def test_planes_of_a_concatenation_do_not_wait_for_its_last_part() -> None:
    """They are a load of their own, ahead of what is written last; parts bring what the whole would."""
    b = Builder(np.random.default_rng(1), (16, 16, 16))
    first = b.conv("x", 16)
    b.conv(b.concat(first, b.conv("x", 16, fmt=b.tensors[first].fmt)), 16)
    plan, fills = emitted(preset("medium"), b.network())
    wholes = [fill for fill in plan.fills if fill.layer == 2 and fill.tensor is not None]
    for piece in {fill.piece for fill in wholes}:
        whole = [beat for fill in wholes if fill.piece is piece for beat in _beats(fill)]
        assert sorted(beat for _, fill in fills if fill.piece is piece for beat in _beats(fill)) == sorted(whole)
    own = [(index, fill.planes) for index, fill in fills if fill.layer == 2 and fill.tensor is not None]
    assert {(0, 2), (2, 4)} <= {planes for _, planes in own}
    assert all(earlier < later for (earlier, one), (later, other) in pairwise(own) if (one, other) == ((0, 2), (2, 4)))


def test_a_load_does_not_stand_before_one_that_is_needed_sooner() -> None:
    """Weights of later output groups let a band pass that is not written yet, and is soon."""
    b = Builder(np.random.default_rng(1), (64, 9, 9))
    b.conv(b.conv("x", 256, Window()), 128, Window())
    _, fills = emitted(preset("medium"), b.network(), Memory(beat_every=2))
    order = [fill for _, fill in fills if fill.layer == 1]
    bands = [k for k, fill in enumerate(order) if fill.tensor is not None]
    assert len(bands) > 2 and bands[1] == bands[0] + 1
    assert any(fill.step > order[bands[-1]].step for fill in order[: bands[0]]), "weights do run ahead of them"
