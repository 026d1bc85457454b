"""The register table: offsets, fields, causes."""

import pytest

from hw.contract import registers
from hw.contract.registers import BY_NAME, CAUSES, COUNTERS, REGISTER_BITS, REGISTERS, ErrorCause, mask


def test_offsets_follow_one_another():
    assert [r.offset for r in REGISTERS] == [4 * i for i in range(len(REGISTERS))]
    assert len(BY_NAME) == len(REGISTERS)


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.name)
def test_fields_lie_beside_each_other(register):
    seen = 0
    for field in register.fields:
        assert field.bit + field.width <= REGISTER_BITS
        assert seen & field.mask == 0, f"{field.name} shares bits"
        seen |= field.mask
    assert register.exist == (seen or 0xFFFFFFFF)


def test_bits_that_software_relies_on():
    assert (registers.CONTROL_START, registers.CONTROL_RESET) == (1, 2)
    assert (registers.STATUS_BUSY, registers.STATUS_DONE, registers.STATUS_ERROR) == (1, 2, 4)
    assert (registers.INTERRUPT_DONE, registers.INTERRUPT_ERROR) == (1, 2)
    assert mask("INTERRUPT_ENABLE", "error") == mask("INTERRUPT", "error")
    aligned = {"PROGRAM_BASE": 0xFFFFFF00, "WINDOW_BASE": 0xFFFFF000, "WINDOW_LIMIT": 0xFFFFF000}
    assert {name: BY_NAME[name].exist for name in aligned} == aligned


def test_every_cause_is_told_and_fits_its_field():
    assert list(CAUSES) == list(ErrorCause)
    assert max(ErrorCause) <= mask("ERROR_CAUSE", "cause")


def test_what_earlier_software_knows_stays_where_it_is():
    known = {"ID": 0x00, "STATUS": 0x0C, "ERROR_CAUSE": 0x18, "CYCLES": 0x30, "STALL_STORE_POOL": 0x88}
    assert {name: BY_NAME[name].offset for name in known} == known
    assert REGISTERS[-1].name == "WATCHDOG" and [int(cause) for cause in ErrorCause] == list(range(8))


def test_counters_are_what_counts():
    first, last = BY_NAME["CYCLES"].offset, BY_NAME["STALL_STORE_POOL"].offset
    assert tuple(r.name for r in REGISTERS if first <= r.offset <= last) == COUNTERS
    assert all(BY_NAME[name].access == "ro" for name in COUNTERS)


def test_an_unknown_field():
    with pytest.raises(KeyError):
        mask("STATUS", "idle")
