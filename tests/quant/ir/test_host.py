"""What the host makes of outputs: shapes and names."""

from __future__ import annotations

import pytest

from quant.ir.host import HostOperation


@pytest.mark.parametrize(
    ("axis", "keep", "shape"), [(1, 1, (1, 6, 5)), (1, 0, (6, 5)), (2, 0, (4, 5)), (3, 1, (4, 6, 1))]
)
def test_the_largest_takes_its_axis_away(axis: int, keep: int, shape: tuple[int, ...]) -> None:
    operation = HostOperation("ArgMax", (("axis", axis), ("keepdims", keep), ("select_last_index", 0)))
    assert operation.shape((4, 6, 5)) == shape
    assert operation.suffix == "_argmax"


def test_activations_keep_the_shape() -> None:
    assert HostOperation("Softmax", (("axis", 2),)).shape((4, 6, 5)) == (4, 6, 5)
