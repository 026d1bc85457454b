"""The output stage of one lane: all shifts, against quant.ir.fixedpoint.requantize."""

from hw.gateware.requantize import Requantize
from tests.hw.gateware.helpers.build import Bundle, run


def test_every_shift():
    bundle = Bundle(acc32=Requantize(32), acc48=Requantize(48), product=Requantize(53, left=0))
    run(bundle, "requantize", "cocotb_requantize")
