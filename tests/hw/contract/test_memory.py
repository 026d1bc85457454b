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


@pytest.mark.parametrize(
    ("read", "write", "free", "after_read", "served"),
    [
        (None, None, 5, True, None),
        (7, None, 5, True, (7, True)),
        (None, 3, 5, False, (5, False)),
        (7, 6, 5, False, (6, False)),  # the first that can be served
        (6, 7, 5, True, (6, True)),
        (3, 4, 5, True, (5, False)),  # both can: turns
        (3, 4, 5, False, (5, True)),
        (3, 5, 5, True, (5, True)),  # a write that is not seen yet
        (8, 8, 5, True, (8, True)),
    ],
)
def test_turns_on_a_bus(
    read: int | None, write: int | None, free: int, after_read: bool, served: tuple[int, bool] | None
) -> None:
    assert Memory(shared=True).served(read, write, free, after_read) == served


def test_a_memory_in_words() -> None:
    assert str(Memory(9, 4)) == "latency 9, a beat every 4"
    assert str(Memory(9, 4, shared=True)) == "latency 9, a beat every 4, one bus for both directions"


def test_memory_refuses_times_that_no_memory_has() -> None:
    for value in (0, 1 << 17, 1 << 40):
        with pytest.raises(BadInput, match=f"latency must be 1 to 65536 cycles, not {value}$"):
            Memory(latency=value)
    with pytest.raises(BadInput, match="beat_every must be 1 to 1024 cycles, not -1$"):
        Memory(beat_every=-1)
