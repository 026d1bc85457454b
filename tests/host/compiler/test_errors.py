"""What the compiler cannot do, in one line."""

from __future__ import annotations

from host.compiler.errors import CannotCompile
from quant.ir.target import Refusal


def test_the_message_is_the_refusal() -> None:
    error = CannotCompile("conv", "a shift by 60 bits", "quantize it here")
    assert error.refusal == Refusal("conv", "a shift by 60 bits", "quantize it here")
    assert str(error) == str(error.refusal) == "layer conv: a shift by 60 bits: quantize it here"
