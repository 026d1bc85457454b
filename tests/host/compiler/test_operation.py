"""Instructions to be."""

from __future__ import annotations

import pytest

from host.compiler.operation import operation
from host.compiler.tokens import Access
from hw.contract.isa import LoadInstruction, SetupInstruction, StoreInstruction, Unit

BASES = {"weights": 0x100, "tensors": 0x4000}


def test_tokens_and_addresses_come_last() -> None:
    load = operation(LoadInstruction(address=0x20, beats=3, rows=1), writes=[Access("WEIGHT", 0, 3, 8)], base="weights")
    assert load.task.unit == Unit.LOAD and load.task.writes[0].length == 3
    load.task.wait, load.task.signal = 2, 4
    assert load.finished(BASES) == LoadInstruction(wait=2, signal=4, address=0x120, beats=3, rows=1)
    store = operation(StoreInstruction(address=0x20), base="tensors")
    assert store.finished(BASES) == StoreInstruction(address=0x4020)
    assert operation(SetupInstruction(low=-3)).finished(BASES) == SetupInstruction(low=-3)


def test_what_has_no_address_has_no_base() -> None:
    with pytest.raises(AssertionError, match="SETUP has no address"):
        operation(SetupInstruction(), base="tensors").finished(BASES)
