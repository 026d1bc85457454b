"""Tables on the engine: in the output stage of what writes their input, or of a copy of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import PoolInstruction, SetupInstruction
from hw.contract.program import Program
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.table import Table
from tests.host.compiling import WITH_TABLES, check, refused
from tests.host.networks import Builder


def loads(program: Program) -> int:
    return sum(i.table_load for i in program.decode() if isinstance(i, SetupInstruction))


@WITH_TABLES
def test_behind_what_writes_its_input_it_is_no_layer(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """Nor where a pooling stands behind it; of an input that others read, or of another table, it is a copy."""
    b = Builder(rng, (12, 9, 7))
    first = b.table(b.conv("x", 20))
    second = b.pool(b.table(b.add(first, first)), "max", Window((2, 2), (2, 2)))
    both = b.conv(second, 8)
    b.table(b.table(both), bits=16)
    b.conv(both, 8)
    program = check(b.network(), config, rng)
    assert [(entry.name, entry.op, entry.fused) for entry in program.layers] == [
        ("layer0", "Conv", ("layer1",)),
        ("layer2", "Add", ("layer3", "layer4")),
        ("layer5", "Conv", ()),
        ("layer6", "Table", ()),
        ("layer7", "Table", ()),
        ("layer8", "Conv", ()),
    ]
    assert loads(program) == 4


@WITH_TABLES
def test_a_function_of_the_input(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 5, 6), signed=False)
    b.table("x")
    check(b.network(), config, rng)


def test_it_is_loaded_once_for_a_layer(rng: np.random.Generator) -> None:
    """Though there be many tiles, and weights that are loaded for each of them anew."""
    b = Builder(rng, (24, 40, 30))
    b.table(b.conv("x", 40))
    config = dataclasses.replace(preset("tiny"), weight_depth=256)
    program = check(b.network(), config, rng)
    assert loads(program) == 1


def test_strips_share_it(rng: np.random.Generator) -> None:
    b = Builder(rng, (4, 3, 600))
    b.table(b.conv("x", 4))
    program = check(b.network(), preset("tiny"), rng)
    setups = [i for i in program.decode() if isinstance(i, SetupInstruction)]
    assert len(setups) > 1 and all(i.table for i in setups) and loads(program) == 1


def test_enlargements_and_joins_behind_it(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 6, 6))
    fmt = b.tensors["x"].fmt
    b.resize(b.table(b.conv("x", 8)), (2, 2))
    b.resize(b.table(b.conv("x", 8, residual="x")), (2, 1))
    b.depth_to_space(b.table(b.conv("x", 8)), 2, "DCR")
    parts = [b.table(b.conv("x", 8)) for _ in range(2)]
    b.tensors |= {name: dataclasses.replace(b.tensors[name], fmt=fmt) for name in parts}
    for index, layer in enumerate(b.layers):
        if layer.output in parts:
            b.layers[index] = dataclasses.replace(layer, entries=rng.integers(fmt.low, fmt.high + 1, 256))
    b.pool(b.concat(*parts), "average", Window((6, 6)))
    program = check(b.network(), preset("small"), rng)
    assert sum(isinstance(i, PoolInstruction) for i in program.decode()) == 2, "each part is pooled behind its table"


def one(source: QFormat) -> Network:
    entries = np.arange(1 << source.bits) % 256 - 128
    tensors = {"x": Tensor("x", (8, 4, 4), source), "y": Tensor("y", (8, 4, 4), QFormat(8, 4))}
    return Network("net", tensors, (Table("curve", "x", "y", entries, "Sigmoid(x)"),), ("x",), ("y",))


def test_an_engine_without_tables_refuses_with_what_to_do() -> None:
    config = dataclasses.replace(preset("small"), name="plain", tables=False)
    assert refused(one(QFormat(8, 4)), config) == (
        "layer curve: Sigmoid(x) by a table, and plain has none: retrain with Relu, Clip, LeakyRelu or "
        "HardSigmoid in its place"
    )


def test_wide_codes_are_refused(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 4, 4))
    made = b.conv("x", 8, bits=16)
    out = Tensor("y", b.shape(made), QFormat(8, 4))
    table = Table("curve", made, "y", np.zeros(1 << 16, np.int64), "Sigmoid(x)")
    network = Network("net", b.tensors | {"y": out}, (*b.layers, table), ("x",), ("y",))
    assert refused(network) == (
        "layer curve: Sigmoid(x) of 16 bits, and tables are looked up by 8: quantize with --data-bits 8"
    )


@pytest.mark.parametrize("depth", [128, 256])
def test_a_weight_buffer_that_hardly_holds_a_table(depth: int, rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 6, 6))
    b.table(b.conv("x", 8))
    config = dataclasses.replace(preset("tiny"), weight_depth=depth)
    if depth == 256:
        check(b.network(), config, rng)
    else:
        assert "of the weight buffer" in refused(b.network(), config)
