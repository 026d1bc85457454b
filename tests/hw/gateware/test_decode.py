"""Views of instructions against their encoding."""

import random

import pytest
from amaranth.lib import data

from hw.contract.isa import INSTRUCTIONS, LAYOUTS, Opcode
from hw.gateware.decode import INSTRUCTION_BITS, fields


@pytest.mark.parametrize("opcode", Opcode)
def test_every_field(opcode: Opcode, seed: int) -> None:
    rng = random.Random(seed)
    assert fields(opcode).size == INSTRUCTION_BITS
    for _ in range(20):
        values = {
            name: rng.choice([field.low, field.high, rng.randint(field.low, field.high)])
            for name, (field, _) in LAYOUTS[opcode].items()
            if name != "opcode"
        }
        word = int.from_bytes(INSTRUCTIONS[opcode](**values).encode(), "little")
        seen = data.Const(fields(opcode), word)
        assert {name: seen[name] for name in LAYOUTS[opcode]} == {"opcode": opcode, **values}
