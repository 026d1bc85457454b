"""What of a layer lies on the chip."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from host.compiler.chip import OnChip, Resident
from hw.contract.isa import Buffer


def test_where_a_result_goes() -> None:
    resident = Resident("t", Buffer.ACTIVATION, 0, 8, 4, 16, first=2, last=5)
    chip = OnChip(results={"t": ((resident, 3),)})
    assert chip.copies("t") == ((resident, 3),) and chip.copies("other") == ()
    assert [resident.word(row, 2) for row in range(3)] == [0, 4, 8]
    assert OnChip(windows={Buffer.ACTIVATION: (3, 5)}).form == OnChip(windows={Buffer.ACTIVATION: (4, 6)}).form
    assert OnChip(band=2).form != OnChip(band=3).form


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 2), st.integers(1, 4), st.sampled_from([1, 2, 4]))
def test_rows_of_a_band(width: int, band: int, slots: int, planes: int, unit: int) -> None:
    """In its slot's planes, one row right behind the other, each where in a grain it would be in memory."""
    plane = -(-(unit - 1 + band * width) // unit) * unit
    size = slots * planes * plane // unit
    resident = Resident("t", Buffer.ACTIVATION, 0, size, width, plane, 0, 1, band, slots)
    for row in range(5 * band):
        word, slot = resident.word(row, unit), row // band % slots
        assert word % unit == row * width % unit
        assert slot * planes * plane <= word and word + width <= slot * planes * plane + plane
    for row, after in itertools.pairwise(range(band)):
        assert resident.word(after, unit) == resident.word(row, unit) + width


def test_some_planes_of_a_band() -> None:
    """Two at a time, one pair in each of two slots; all its rows begin where those of its first band do."""
    resident = Resident("t", Buffer.ACTIVATION, 0, 16, 4, 8, 0, 1, band=2, slots=2, planes=2)
    assert [resident.at(plane) for plane in range(6)] == [0, 8, 16, 24, 0, 8]
    assert [resident.word(row, 2) for row in range(4)] == [0, 4, 0, 4]
    whole = Resident("t", Buffer.ACTIVATION, 0, 16, 4, 8, 0, 1)
    assert [whole.at(plane) for plane in range(3)] == [0, 8, 16]
    assert OnChip(source=resident).by_channel and not OnChip(source=whole).by_channel and not OnChip().by_channel
    assert len({OnChip(band=2).form, OnChip(band=2, again=True).form, OnChip(band=2, sums=9).form}) == 3


def test_some_planes_wait_as_results() -> None:
    part = Resident("t", Buffer.ACTIVATION, 0, 16, 4, 8, 0, 1, inside=4)
    assert [part.waits(plane) for plane in range(6)] == [False] * 4 + [True] * 2
    assert [part.at(plane) for plane in range(4)] == [0, 8, 16, 24]
    whole = Resident("t", Buffer.ACTIVATION, 0, 16, 4, 8, 0, 1)
    assert not any(map(whole.waits, range(6)))
    writers, readers = (OnChip(results={"t": ((one, 0),)}) for one in (part, whole)), (part, whole, None)
    assert [chip.leaves_some for chip in writers] == [True, False]
    assert [OnChip(source=one).inside for one in readers] == [4, 0, 0]
    assert OnChip(source=part).form != OnChip(source=whole).form
    assert OnChip(band=2).form != OnChip(band=2, read_before=True).form
