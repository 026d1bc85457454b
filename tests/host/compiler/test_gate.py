"""A map in the place of weights: where its words go, and when they cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler.errors import CannotCompile
from host.compiler.gate import check_gates, check_lanes, gate_columns, gate_rows
from host.compiler.kinds.multiply import MultiplyOnEngine
from host.compiler.problem import Problem
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.depthwise import TAP_COLUMNS, TAPS
from hw.contract.isa import Mode
from hw.contract.layout import Placement, pack
from hw.contract.weights import gateware_format
from quant.ir.fixedpoint import QFormat
from tests.host.compiler.problems import problems
from tests.host.compiling import ALL
from tests.host.networks import Builder
from tests.sim.jobs import ODD


def placed(channels: int, config: AcceleratorConfig, address: int = 640) -> Placement:
    return Placement("gate", address, (channels, 1, 1), QFormat(8, 5), tuple(range(channels)))


@ALL
def test_words_become_the_first_taps_of_their_blocks(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """Loaded over blocks of zeros as LOAD does it, they decode as that; what else a beat has is of the taps beside."""
    weights, n, groups = gateware_format(config), config.ic_lanes, config.derived.planes
    gate = placed(3 * n * groups, config, address=0)
    values = rng.integers(-128, 128, gate.shape)
    memory = np.frombuffer(pack(values, gate, config), np.uint8).reshape(-1, config.derived.beat_bytes)
    load = gate_rows(gate, weights, (groups, 2 * groups), config)
    blocks = np.zeros((groups * weights.block_beats(config, Mode.DEPTHWISE), config.derived.beat_bytes), np.uint8)
    for row in range(load.rows):
        at, beat = load.offset + row * load.destination_pitch, (load.address + row * load.pitch) // memory.shape[1]
        blocks[at : at + load.beats] = memory[beat : beat + load.beats]
    found = weights.decode(blocks.reshape(-1), config, Mode.DEPTHWISE)
    newest = found[:, TAPS - TAP_COLUMNS :]  # of the three rows of taps the one that a pass of one row has
    np.testing.assert_array_equal(newest[:, 0].reshape(-1), values[groups * n : 2 * groups * n, 0, 0])
    assert not newest[:, gate_columns(config) :].any() and not found[:, : TAPS - TAP_COLUMNS].any()


def test_beats_of_more_words_than_a_row_of_taps_has() -> None:
    for config in (preset("medium"), preset("large"), *ODD):
        if config.derived.words_per_beat <= 3:
            check_gates("net", config)
    with pytest.raises(CannotCompile, match="a gate's word comes in beats of 8, and a row of taps has 3"):
        check_gates("net", next(config for config in ODD if config.name == "fast_port"))


def test_lanes_must_agree(rng: np.random.Generator) -> None:
    posed = gated(rng)
    gate = placed(12, posed.config)
    check_lanes(posed.layer, gate, dataclasses.replace(gate, tensor="x"))
    with pytest.raises(CannotCompile, match="multiplies channels of x by those of gate, which lie in other lanes"):
        check_lanes(posed.layer, gate, dataclasses.replace(gate, tensor="x", lanes=tuple(range(1, 13))))


def gated(rng: np.random.Generator) -> Problem:
    b = Builder(rng, (12, 6, 6))
    b.gated("x")
    return problems(b.network(), preset("tiny"))[0][-1]


def test_it_runs_depthwise_though_its_kernel_is_one_tap(rng: np.random.Generator) -> None:
    posed = gated(rng)
    assert posed.layer.weight.shape[2:] == (1, 1) and posed.outputs.mode == Mode.DEPTHWISE
    assert not MultiplyOnEngine.before_pooling
