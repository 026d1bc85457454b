"""Bytes moved in buffers, against taps, pixels and passes counted one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.isa import (
    ConvInstruction,
    LoadInstruction,
    Mode,
    PoolInstruction,
    SetupInstruction,
    StoreInstruction,
    Target,
)
from hw.contract.program import Program
from quant.ir.window import Window
from sim.accesses import buffer_bytes
from tests.host.networks import SAME, Builder
from tests.sim.handmade import CASES, build


def one_by_one(program: Program) -> Counter[int]:
    """By layer, an access after the other; 8-bit data, weights of 8 bits or indices of 4 or 2, 32-bit sums."""
    c, found = program.config, Counter[int]()
    n, m = c.ic_lanes, c.oc_lanes
    setup = SetupInstruction()
    for i in program.decode():
        if isinstance(i, SetupInstruction):
            setup = i
            found[i.layer] += 512 * i.table_load
        elif isinstance(i, LoadInstruction):
            found[i.layer] += i.rows * i.beats * c.axi_bits // 8
        elif isinstance(i, StoreInstruction):
            # Read in the buffer of results, and written where the target is a buffer, too.
            found[i.layer] += i.planes * i.rows * i.words * n * (1 + (i.target != Target.MEMORY))
        elif isinstance(i, PoolInstruction):
            for y, x in np.ndindex(i.out_rows, i.out_columns):
                for ky, kx in np.ndindex(i.kernel_rows, i.kernel_columns):
                    row, column = y * i.stride_rows + ky + i.row_offset, x * i.stride_columns + kx + i.column_offset
                    found[i.layer] += m * (0 <= row < i.in_rows and 0 <= column < i.in_columns)
                found[i.layer] += m * (1 + i.wide)
        elif isinstance(i, ConvInstruction):
            found[i.layer] += (i.first or i.reload) * 8 * m  # bias and two shifts
            found[i.layer] += i.codebook * 16
            # Depthwise, a pass takes 3 x 3 taps: it goes down each column of pixels, reading 3 words of every row.
            # Paired, it takes 1 x 2.
            per_byte = {0: 1, 1: 2, 2: 4}[setup.weight_format]
            depthwise, each = setup.mode == Mode.DEPTHWISE, (1, 3, 2)[setup.mode]
            high = 3 if depthwise else 1
            sizes = -(-setup.kernel_rows // high), -(-setup.kernel_columns // each)
            passes = list(np.ndindex(i.input_groups, *sizes))
            for k, (_, down, across) in enumerate(passes):
                found[i.layer] += (-(-9 * n * 8 // c.axi_bits) * c.axi_bits // 8) if depthwise else n * m // per_byte
                top = [y * setup.stride_rows for y in range(i.out_rows)]
                for offset in range(top[-1] + 3) if depthwise else top:
                    row = offset + down * high * setup.dilation_rows + i.row_offset
                    for x, kx in np.ndindex(i.out_columns, each):
                        column = x * setup.stride_columns + (across * each + kx) * setup.dilation_columns
                        inside = 0 <= column + i.column_offset < setup.in_columns
                        found[i.layer] += n * (0 <= row < i.in_rows and inside)
                begins, ends = i.first and k == 0, i.last and k == len(passes) - 1
                for _ in range(i.out_rows * i.out_columns):
                    found[i.layer] += 4 * m * (not begins) + 4 * m * (not ends)
                    found[i.layer] += m * bool(begins and i.residual)
                    found[i.layer] += m * (bool(ends and i.to_output) * (1 + setup.wide) + bool(ends and i.to_pool))
    return found


def test_one_by_one_of_pairs_of_taps() -> None:
    b = Builder(np.random.default_rng(2), (4, 7, 9))
    b.conv(b.conv("x", 3, Window((3, 4), (2, 1), (1, 2, 1, 2))), 8, SAME)
    program = compile_network(b.network(), preset("medium"))
    assert {i.mode for i in program.decode() if isinstance(i, SetupInstruction)} == {Mode.PAIRED}
    assert buffer_bytes(program) == one_by_one(program)


def test_one_by_one_of_depthwise_layers_and_a_table() -> None:
    b = Builder(np.random.default_rng(1), (24, 7, 9))
    large = b.conv(b.table("x"), 24, Window((5, 4), (1, 1), (2, 1, 2, 2)), groups=24)
    b.conv(b.conv(large, 24, SAME, groups=24), 24, Window((3, 3), (2, 2), (1, 1, 1, 1)), groups=24)
    program = compile_network(b.network(), preset("medium"))
    assert any(isinstance(i, SetupInstruction) and i.mode for i in program.decode())
    stores = {i.target for i in program.decode() if isinstance(i, StoreInstruction)}
    assert stores == {Target.MEMORY, Target.ACTIVATION}
    assert buffer_bytes(program) == one_by_one(program)


@pytest.mark.parametrize("name", ["pointwise", "chunks", "dilated", "residual", "wide", "max_pool", "average_padded"])
def test_one_by_one(name: str) -> None:
    program = build(preset("small"), CASES[name]).program
    assert buffer_bytes(program) == one_by_one(program)
