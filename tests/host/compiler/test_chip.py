"""What of a layer lies on the chip."""

from host.compiler.chip import OnChip, Resident
from hw.contract.isa import Buffer


def test_a_map_is_there_from_its_writer_to_its_last_reader() -> None:
    resident = Resident("t", Buffer.ACTIVATION, 0, 8, 4, 16, first=2, last=5)
    assert [resident.alive(k, k) for k in (1, 2, 5, 6)] == [False, True, True, False]
    assert resident.alive(0, 9) and not resident.alive(6, 9)
    chip = OnChip(results={"t": ((resident, 3),)})
    assert chip.copies("t") == ((resident, 3),) and chip.copies("other") == ()
