"""What a layer must cost."""

from __future__ import annotations

import pytest

from host.report.roofline import roofline
from hw.contract.config import preset
from hw.contract.memory import Memory
from hw.contract.program import LayerEntry


@pytest.mark.parametrize(
    ("macs", "read", "written", "cycles", "bound"),
    [
        (6400, 80, 80, 100.0, "compute"),
        (640, 8000, 80, 1000.0, "read"),
        (640, 80, 1601, 200.125, "write"),
        (640, 80, 80, 10.0, "compute"),
    ],
)
def test_the_slowest_part_sets_the_cycles(macs: int, read: int, written: int, cycles: float, bound: str) -> None:
    for op in ("Conv", "Gemm"):
        found = roofline(preset("small"), LayerEntry("layer", op, (), "out", macs, read, written), Memory())
        assert (found.cycles, found.bound) == (cycles, bound)


@pytest.mark.parametrize(("every", "cycles", "bound"), [(2, 20.0, "read"), (1, 15.0, "compute"), (3, 30.0, "read")])
def test_a_slower_memory_takes_its_time_for_every_beat(every: int, cycles: float, bound: str) -> None:
    found = roofline(preset("small"), LayerEntry("layer", "Conv", (), "out", 960, 80, 40), Memory(200, every))
    assert (found.cycles, found.bound) == (cycles, bound)


@pytest.mark.parametrize(("macs", "cycles", "bound"), [(960, 30.0, "bus"), (2560, 40.0, "compute")])
def test_a_bus_moves_what_is_read_and_what_is_written(macs: int, cycles: float, bound: str) -> None:
    layer = LayerEntry("layer", "Conv", (), "out", macs, 80, 40)
    found = roofline(preset("small"), layer, Memory(200, 2, shared=True))
    assert (found.cycles, found.bound) == (cycles, bound)


def test_other_operators_count_nothing() -> None:
    found = roofline(preset("small"), LayerEntry("layer", "Add", (), "out", 0, 8000, 8000), Memory())
    assert (found.cycles, found.bound) == (0.0, "none")
