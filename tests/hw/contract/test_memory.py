"""The simulated memory: when beats and responses come, and what no memory has."""

import pytest

from hw.contract.memory import NEVER, Memory
from quant.base.errors import BadInput


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
    for value in (0, 1 << 17, 1 << 40):
        with pytest.raises(BadInput, match=f"latency must be 1 to 65536 cycles, not {value}$"):
            Memory(latency=value)
    with pytest.raises(BadInput, match="beat_every must be 1 to 1024 cycles, not -1$"):
        Memory(beat_every=-1)
