"""Additions on the engine."""

from __future__ import annotations

import dataclasses

import numpy as np

from hw.contract.config import AcceleratorConfig
from quant.ir.window import Window
from tests.host.compiling import ALL, check, refused
from tests.host.networks import Builder


@ALL
def test_residual_and_addition(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (20, 9, 9))
    one, other = b.conv("x", 20), b.conv("x", 20, Window())
    both = b.conv(one, 20, residual=other)
    b.conv(b.add(both, "x"), 20, residual="x")
    program = check(b.network(), config, rng)
    assert [entry.op for entry in program.layers] == ["Conv", "Conv", "Conv", "Add", "Conv"]


def test_sums_that_are_shifted_too_far() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    total = b.add(b.conv("x", 8), "x")
    b.tensors[total] = dataclasses.replace(b.tensors[total], fmt=dataclasses.replace(b.tensors[total].fmt, frac=40))
    assert "layer layer1: a shift by -" in refused(b.network())
