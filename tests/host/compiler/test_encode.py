"""Steps as the fields of instructions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import (
    Buffer,
    ConvInstruction,
    Instruction,
    LoadInstruction,
    PoolInstruction,
    PoolKind,
    SetupInstruction,
    StoreInstruction,
)
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import Builder


def stream(network: Network, config: AcceleratorConfig | None = None) -> list[Instruction]:
    return list(compile_network(network, config or preset("small")).decode())


def of(found: list[Instruction], kind: type) -> list:
    return [instruction for instruction in found if isinstance(instruction, kind)]


def test_setup_says_what_the_layer_is() -> None:
    b = Builder(np.random.default_rng(1), (8, 12, 12), signed=False)
    b.conv("x", 8, Window((3, 2), (2, 1), (1, 0, 1, 1), (2, 3)), groups=8)
    b.layers[0] = dataclasses.replace(b.layers[0], clip=(-5, 9))  # type: ignore[type-var]
    b.tensors["t0"] = dataclasses.replace(b.tensors["t0"], fmt=QFormat(8, 3))
    (setup,) = of(stream(b.network()), SetupInstruction)
    assert (setup.kernel_rows, setup.kernel_columns, setup.stride_rows, setup.stride_columns) == (3, 2, 2, 1)
    assert (setup.dilation_rows, setup.dilation_columns) == (2, 3)
    assert (setup.low, setup.high, setup.input_signed, setup.wide, setup.weight_format) == (-5, 9, 0, 0, 0)


def test_padding_is_an_offset_outside_the_map() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv("x", 8, Window((3, 3), (1, 1), (2, 1, 2, 1)), groups=8)
    first = of(stream(b.network()), ConvInstruction)[0]
    assert (first.row_offset, first.column_offset) == (-2, -1)


def test_only_the_first_chunk_starts_and_only_the_last_one_stores() -> None:
    config = dataclasses.replace(preset("tiny"), name="narrow", weight_depth=128)
    b = Builder(np.random.default_rng(1), (32, 4, 4))
    b.conv(b.conv("x", 32, Window()), 8, residual=b.conv("x", 8, Window()))
    convs = [conv for conv in of(stream(b.network(), config), ConvInstruction) if conv.layer == 2]
    assert len(convs) > 2 and {conv.first for conv in convs} == {conv.last for conv in convs} == {0, 1}
    assert all(conv.to_output == conv.last and conv.residual == conv.first for conv in convs)


def test_wide_results_are_stored_in_two_parts() -> None:
    b = Builder(np.random.default_rng(1), (8, 4, 4))
    b.conv("x", 8, bits=16)
    found = stream(b.network())
    low, high, *_ = of(found, StoreInstruction)
    assert of(found, SetupInstruction)[0].wide == 1
    assert high.base - low.base == low.words == high.words and high.address - low.address == 16 * 8
    assert low.planes == high.planes == 1


@pytest.mark.parametrize("kind", ["max", "average"])
def test_poolings(kind: str) -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.pool(b.conv("x", 8), kind, Window((3, 2), (2, 1), (1, 1, 1, 0)))
    pools = of(stream(b.network()), PoolInstruction)
    assert sum(pool.out_rows for pool in pools) == 3 and all(pool.out_columns == 6 for pool in pools)
    for pool in pools:
        assert (pool.kernel_rows, pool.kernel_columns, pool.stride_rows, pool.stride_columns) == (3, 2, 2, 1)
        assert pool.kind == (PoolKind.MAX if kind == "max" else PoolKind.AVERAGE)
        assert (pool.multiplier > 0) == (pool.sum_bits > 0) == (kind == "average")
    assert pools[0].row_offset == -1 and all(pool.column_offset == -1 for pool in pools)


def test_loads_fill_every_buffer() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv(b.conv("x", 8, Window()), 8, residual="x")
    loads = of(stream(b.network()), LoadInstruction)
    assert {load.target for load in loads} == set(Buffer)
    beat = preset("small").derived.beat_bytes
    assert all(load.beats > 0 and load.rows > 0 and load.address % beat == 0 for load in loads)
