"""Concatenations on the engine."""

from __future__ import annotations

import numpy as np

from hw.contract.config import AcceleratorConfig, preset
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window
from tests.host.compiling import ALL, check
from tests.host.networks import SAME, Builder


@ALL
def test_concatenation(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """Parts of awkward sizes, one from a pooling, one used elsewhere, one joined twice, one the input, and nested."""
    b = Builder(rng, (6, 8, 8))
    fmt = b.tensors["x"].fmt
    parts = [b.conv("x", 5, fmt=fmt), b.conv("x", 19, Window(), fmt=fmt)]
    pooled = b.pool(b.conv("x", 9, fmt=fmt), "max", SAME)
    joined = b.concat(*parts, pooled, parts[1], "x")
    again = b.concat(joined, b.conv(joined, 3, fmt=fmt), parts[0])
    b.conv(parts[0], 4)
    b.conv(again, 12, residual=b.conv("x", 12))
    b.pool(again, "max", Window((2, 2), (2, 2)))
    b.add(again, again)
    check(b.network(again), config, rng)


def test_concatenations_compute_nothing(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 8, 8))
    fmt = QFormat(8, 3)
    joined = b.concat(b.conv("x", 8, fmt=fmt), b.conv("x", 24, Window(), fmt=fmt))
    b.pool(joined, "max", Window((3, 3), (2, 2)))
    program = check(b.network(), preset("small"), rng)
    assert [(e.name, e.fused, e.output) for e in program.layers] == [
        ("layer0", ("layer3",), "t3"),
        ("layer1", ("layer3",), "t3"),
    ]
    assert [placement.tensor for placement in program.tensors] == ["t3"]


def dense_block(b: Builder, fmt: QFormat) -> str:
    """Each layer reads what those before it made and adds to it."""
    made = ["x", b.conv("x", 11, fmt=fmt)]
    for outputs in (5, 16, 9):
        made.append(b.conv(b.conv(b.concat(*made[1:]) if len(made) > 2 else made[1], 7), outputs, fmt=fmt))
    return b.concat(*made[1:])


@ALL
def test_a_dense_block(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (6, 8, 8))
    joined = dense_block(b, QFormat(8, 3))
    b.pool(joined, "average", Window((2, 2), (2, 2)))
    b.conv(joined, 9)
    check(b.network(), config, rng)


def test_what_another_concatenation_joins_is_not_copied(rng: np.random.Generator) -> None:
    b = Builder(rng, (6, 8, 8))
    b.conv(dense_block(b, QFormat(8, 3)), 9)
    program = check(b.network(), preset("small"), rng)
    assert {layer.op for layer in program.layers} == {"Conv"}


def test_of_parts_in_the_middle_and_of_another_order(rng: np.random.Generator) -> None:
    """Only those that follow each other as they do there; the first concatenation is a part of one other."""
    b = Builder(rng, (6, 8, 8))
    fmt = QFormat(8, 3)
    one, two, three = (b.conv("x", outputs, fmt=fmt) for outputs in (9, 5, 8))
    inner = b.concat(one, two)
    b.conv(inner, 3)
    b.conv(b.concat(three, one, two), 3)
    b.conv(b.concat(two, one), 3)
    b.conv(b.concat(one, two, three), 3)
    program = check(b.network(), preset("small"), rng)
    assert sum(layer.op == "Concat" for layer in program.layers) == 2 + 3
