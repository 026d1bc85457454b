"""The stream of instructions."""

from __future__ import annotations

import itertools

import numpy as np

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.isa import ConvInstruction, Instruction, PoolInstruction, SetupInstruction, StoreInstruction
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def stream() -> list[Instruction]:
    b = Builder(np.random.default_rng(1), (8, 40, 40))
    b.pool(b.conv(b.conv("x", 16), 16), "max", Window((2, 2), (2, 2)))
    return list(compile_network(b.network(), preset("tiny")).decode())


def test_a_setup_comes_where_something_changed() -> None:
    setups = [i for i in stream() if isinstance(i, SetupInstruction)]
    assert len(setups) == 2 and setups[0].layer == 0 and setups[1].layer == 1
    assert all((i.kernel_rows, i.kernel_columns) in {SAME.kernel, (3, 1), (1, 1)} for i in setups)


def test_results_are_stored_right_behind_the_last_chunk() -> None:
    for before, after in itertools.pairwise(stream()):
        if isinstance(before, ConvInstruction) and before.to_output:
            assert before.last and isinstance(after, StoreInstruction) and after.base == before.output_base
        if isinstance(before, PoolInstruction):
            assert isinstance(after, StoreInstruction) and after.base == before.output_base
            assert after.words == before.out_rows * before.out_columns


def test_layers_begin_in_order() -> None:
    convs = [i.layer for i in stream() if isinstance(i, ConvInstruction)]
    assert convs == sorted(convs)
