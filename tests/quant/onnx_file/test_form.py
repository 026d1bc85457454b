"""Scales, types and widths of a quantized file."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.onnx_file import form


@pytest.mark.parametrize("frac", [-127, -3, 0, 5, 126])
def test_a_fractional_length_is_a_scale_and_back(frac: int) -> None:
    scale = form.power_of_two(frac, "it")
    assert scale.dtype == np.float32 and form.exponent(float(scale), "it") == frac


@pytest.mark.parametrize("frac", [-128, 127])
def test_scales_that_float32_has_not(frac: int) -> None:
    with pytest.raises(BadInput, match=f"^it has the fractional length {frac}, which no float32 scale expresses$"):
        form.power_of_two(frac, "it")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan"), 0.3])
def test_scales_that_are_no_powers_of_two(scale: float) -> None:
    with pytest.raises(BadInput, match="^the scale of it is "):
        form.exponent(scale, "it")


def test_the_smallest_type_that_holds_the_bits() -> None:
    cases = [(3, True, "INT4"), (4, False, "UINT4"), (5, True, "INT8"), (8, False, "UINT8"), (9, True, "INT16")]
    for bits, signed, name in cases:
        assert form.stored_type(bits, signed, "it") == getattr(TensorProto, name)
    assert form.full_range(QFormat(5, 0), "it") == (-128, 127)
    with pytest.raises(BadInput, match="^it has 17 bits; a quantized file holds at most 16$"):
        form.stored_type(17, True, "it")
