"""The shape of an input as its file has it."""

from __future__ import annotations

import pytest

from quant.base.errors import BadInput
from quant.ir.input_shape import INPUT_SHAPE, own_shape


def test_stated_or_that_of_the_map() -> None:
    assert own_shape({}, (3, 8, 9)) == (3, 8, 9)
    assert own_shape({INPUT_SHAPE: "8,9,3"}, (3, 8, 9)) == (8, 9, 3)
    assert own_shape({INPUT_SHAPE: "6"}, (6, 1, 1)) == (6,)


@pytest.mark.parametrize("text", ["", "wide", "3,-8,-9", "3,8,9,2", "8.0,9,3"])
def test_metadata_that_state_no_shape(text: str) -> None:
    with pytest.raises(BadInput, match=r"metadata shiftpoint.input_shape is .* no shape of \(3, 8, 9\)"):
        own_shape({INPUT_SHAPE: text}, (3, 8, 9))
