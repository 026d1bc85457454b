"""Instructions: encoded and decoded, field by field."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import (
    FIELDS,
    HEADER,
    INSTRUCTIONS,
    LAYOUTS,
    IllegalInstruction,
    LoadInstruction,
    Opcode,
    SetupInstruction,
    StoreInstruction,
    Unit,
    columns,
    decode,
)

OPCODES = pytest.mark.parametrize("opcode", Opcode, ids=[o.name for o in Opcode])


def fields(opcode: Opcode) -> list[str]:
    return [field.name for field in HEADER + FIELDS[opcode] if field.name != "opcode"]


@OPCODES
def test_round_trip(opcode: Opcode, rng: np.random.Generator) -> None:
    for _ in range(50):
        values = {
            name: int(rng.integers(field.low, field.high + 1))
            for name, (field, _) in LAYOUTS[opcode].items()
            if name != "opcode"
        }
        made = INSTRUCTIONS[opcode](**values)
        data = made.encode()
        assert len(data) == INSTRUCTION_BYTES
        assert decode(data) == made and {name: getattr(made, name) for name in values} == values


@OPCODES
def test_many_at_once(opcode: Opcode, rng: np.random.Generator) -> None:
    made = [
        INSTRUCTIONS[opcode](**{f.name: int(rng.integers(f.low, f.high + 1)) for f in (*HEADER[1:], *FIELDS[opcode])})
        for _ in range(20)
    ]
    code = np.frombuffer(b"".join(i.encode() for i in made), np.uint8).reshape(-1, INSTRUCTION_BYTES)
    found = columns(code, LAYOUTS[opcode])
    for name in fields(opcode):
        assert found[name].tolist() == [getattr(i, name) for i in made], name
    assert set(found["opcode"]) == {opcode}


@OPCODES
def test_fields_do_not_overlap(opcode: Opcode) -> None:
    """Each field at its limits, all others 0: only its own bits change."""
    used = 0
    for name, (field, offset) in LAYOUTS[opcode].items():
        mask = ((1 << field.bits) - 1) << offset
        assert used & mask == 0
        used |= mask
        for value in {field.low, field.high} if name != "opcode" else ():
            data = INSTRUCTIONS[opcode](**{name: value}).encode()
            word = int.from_bytes(data, "little") & ~15
            assert word & ~mask == 0
            assert getattr(decode(data), name) == value
    assert used < 1 << 8 * INSTRUCTION_BYTES


@OPCODES
def test_values_out_of_range(opcode: Opcode) -> None:
    for name in fields(opcode):
        field, _ = LAYOUTS[opcode][name]
        for value in (field.low - 1, field.high + 1):
            with pytest.raises(IllegalInstruction) as caught:
                INSTRUCTIONS[opcode](**{name: value}).encode()
            assert str(caught.value) == f"{opcode.name}.{name} = {value} is outside {field.low}..{field.high}"


def test_the_header_is_common() -> None:
    assert {tuple(LAYOUTS[opcode])[: len(HEADER)] for opcode in Opcode} == {("opcode", "wait", "signal", "layer")}
    assert len({tuple(LAYOUTS[o][f.name][1] for f in HEADER) for o in Opcode}) == 1


def test_known_bytes() -> None:
    made = LoadInstruction(wait=2, signal=8, layer=5, target=1, destination=3, address=0x40, beats=7, rows=1)
    word = int.from_bytes(made.encode(), "little")
    assert word & 0xFFFFFF == 1 | 2 << 4 | 8 << 8 | 5 << 12
    assert word >> 24 == 1 | 3 << 2 | 0x40 << 34 | 7 << 66 | 1 << 82


def test_unknown_fields() -> None:
    with pytest.raises(TypeError, match="beats"):
        SetupInstruction(beats=1)  # type: ignore[call-arg]


def test_fields_that_are_not_named_are_0() -> None:
    made = StoreInstruction()
    assert {getattr(made, name) for name in fields(Opcode.STORE)} == {0}


@pytest.mark.parametrize("number", [0, 6, 15])
def test_unknown_opcodes(number: int) -> None:
    with pytest.raises(IllegalInstruction, match=f"^no instruction has opcode {number}$"):
        decode(number.to_bytes(INSTRUCTION_BYTES, "little"))


def test_wrong_length() -> None:
    with pytest.raises(IllegalInstruction, match="^an instruction has 32 bytes, not 31$"):
        decode(bytes(31))


def test_units() -> None:
    assert {o: o.unit for o in Opcode} == {
        Opcode.LOAD: Unit.LOAD,
        Opcode.SETUP: Unit.COMPUTE,
        Opcode.CONV: Unit.COMPUTE,
        Opcode.POOL: Unit.POOL,
        Opcode.STORE: Unit.STORE,
    }


def test_text() -> None:
    text = str(StoreInstruction(wait=6, layer=3, words=9))
    assert text.startswith("STORE layer=3 wait=compute+pool signal=- source=0 target=0 base=0")
    assert " words=9 " in text


def test_unknown_attributes() -> None:
    with pytest.raises(AttributeError, match="beats"):
        _ = SetupInstruction().beats  # type: ignore[attr-defined]
