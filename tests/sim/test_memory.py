"""The simulated memory: when beats and responses come, and what no memory has."""

import pytest

from quant.base.errors import BadInput
from sim.memory import NEVER, Memory


def test_a_burst_alone_waits_for_the_latency() -> None:
    assert Memory(latency=10).last_read_beat(address=5, beats=4, previous=NEVER) == 5 + 10 + 3


def test_a_burst_behind_another_waits_for_its_beats() -> None:
    assert Memory(latency=10, beat_every=3).last_read_beat(address=5, beats=4, previous=30) == 33 + 3 * 3


def test_writes() -> None:
    memory = Memory(latency=10, beat_every=3)
    assert memory.write_beat(offered=7, previous=NEVER) == 7, "idle memory answers at once"
    assert memory.write_beat(offered=7, previous=6) == 9
    assert memory.write_response(9) == 19


def test_memory_refuses_times_that_no_memory_has() -> None:
    with pytest.raises(BadInput, match="latency must be at least 1 cycle, not 0"):
        Memory(latency=0)
    with pytest.raises(BadInput, match="beat_every must be at least 1 cycle, not -1"):
        Memory(beat_every=-1)
