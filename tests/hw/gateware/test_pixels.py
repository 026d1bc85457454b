"""The walk of a pass against the formula."""

from hw.contract.config import preset
from hw.gateware.pixels import Pixels
from tests.hw.gateware.helpers.build import run


def test_pixels():
    run(Pixels(preset("tiny"), 12), "pixels", "cocotb_pixels", longest=12)
