"""Intervals of integers."""

from __future__ import annotations

from quant.ir.tensor import Bound


def test_widths():
    cases = [(0, 0, 1), (0, 127, 8), (-128, 0, 8), (-129, 0, 9), (0, 128, 9), (-(2**31), 2**31 - 1, 32), (0, 2**31, 33)]
    assert [Bound(low, high).bits for low, high, _ in cases] == [bits for *_, bits in cases]
    assert Bound(-300, 20).magnitude == 300
