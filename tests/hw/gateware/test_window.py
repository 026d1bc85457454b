"""Window addresses against the formula."""

from hw.gateware.window import Slots
from tests.hw.gateware.helpers.build import run


def test_slots():
    run(Slots(12), "window", "cocotb_window", longest=12)
