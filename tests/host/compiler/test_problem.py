"""What the choice of a tiling depends on."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler.problem import needed
from hw.contract.config import preset
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


def test_rows_that_outputs_need() -> None:
    window = Window((3, 3), (2, 2), (1, 1, 1, 1), (2, 1))
    assert needed(window, 0, (0, 2), 20) == (0, 6)
    assert needed(window, 0, (2, 3), 20) == (3, 8)
    assert needed(window, 1, (9, 10), 20) == (17, 20)
    assert needed(Window((1, 1), (1, 1), (3, 0, 3, 0)), 0, (0, 1), 5) == (0, 1), "padding alone: one row all the same"
    assert needed(Window((1, 1), (1, 1), (3, 0, 3, 0)), 0, (10, 11), 5) == (4, 5)


def test_a_depthwise_layer_is_not_dense() -> None:
    b = Builder(np.random.default_rng(1), (32, 8, 8))
    b.conv(b.conv("x", 32), 32, SAME, groups=32)
    (dense, depthwise), _ = problems(b.network(), preset("small"))
    assert dense.dense and not depthwise.dense
    assert depthwise.range_groups == 1 and depthwise.block_beats == 9, "a weight a tap and lane"


def test_results_that_nobody_needs_are_not_computed() -> None:
    b = Builder(np.random.default_rng(1), (8, 9, 9))
    b.pool(b.conv("x", 8), "max", Window((2, 2), (2, 2)))
    (pooled,), _ = problems(b.network(), preset("small"))
    (kept,), _ = problems(b.network("t0"), preset("small"))
    assert [pooled.results(axis) for axis in (0, 1)] == [8, 8] and [kept.results(axis) for axis in (0, 1)] == [9, 9]


def test_fully_connected_layers_are_read_word_by_word() -> None:
    b = Builder(np.random.default_rng(1), (16, 4, 4))
    b.conv(b.conv("x", 16), 10, Window((4, 4)), op="Gemm", bits=16)
    (conv, gemm), _ = problems(b.network(), preset("small"))
    assert not conv.geometry.flat and gemm.geometry.flat and gemm.window == Window()
    assert gemm.geometry.groups == 2 * 16 and gemm.outputs.taps == 1
    assert gemm.wide(gemm.layer.result) and not conv.wide(conv.layer.result)


@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_a_dilated_kernel_is_read_as_a_window(dilation: tuple[int, int]) -> None:
    b = Builder(np.random.default_rng(1), (16, 1, 8))
    b.conv("x", 10, Window((1, 8), dilation=dilation))
    (posed,), _ = problems(b.network(), preset("small"))
    assert posed.geometry.flat == (dilation == (1, 1))
