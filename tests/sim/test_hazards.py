"""The hazard checker: correct programs pass, and every token that is needed is missed when it is gone."""

from __future__ import annotations

import pytest

from hw.contract.config import preset
from hw.contract.isa import IllegalInstruction, Instruction, Opcode, Unit
from hw.contract.program import Program
from quant.base.errors import VerificationError
from sim.hazards import check
from tests.sim.handmade import CASES, build
from tests.sim.programs import edited, first


def without_token(program: Program, number: int, giver: Unit, taker: Unit) -> Program:
    """A program in which the n-th token of one unit to another is neither given nor taken."""
    gives = [k for k, i in enumerate(program.decode()) if i.opcode.unit == giver and i.signal >> taker & 1]
    takes = [k for k, i in enumerate(program.decode()) if i.opcode.unit == taker and i.wait >> giver & 1]
    given, taken = gives[number], takes[number]

    def change(k: int, instruction: Instruction) -> dict[str, int]:
        values = {}
        if k == given:
            values["signal"] = instruction.signal & ~(1 << taker)
        if k == taken:
            values["wait"] = instruction.wait & ~(1 << giver)
        return values

    return edited(program, change)


def tokens(program: Program) -> list[tuple[int, Unit, Unit]]:
    counts: dict[tuple[Unit, Unit], int] = {}
    found = []
    for instruction in program.decode():
        for other in Unit:
            if instruction.signal >> other & 1:
                pair = instruction.opcode.unit, other
                found.append((counts.get(pair, 0), *pair))
                counts[pair] = counts.get(pair, 0) + 1
    return found


@pytest.mark.parametrize("name", ["tiles", "residual", "max_pool", "wide"])
@pytest.mark.parametrize("config", ["tiny", "medium", "large"])
def test_every_token_is_missed(config: str, name: str) -> None:
    program = build(preset(config), CASES[name]).program
    check(program)
    for token in tokens(program):
        with pytest.raises(VerificationError, match="no token orders them|nothing has written"):
            check(without_token(program, *token))


def test_names_both_instructions() -> None:
    program = build(preset("tiny"), CASES["padded"]).program
    conv = next(k for k, i in enumerate(program.decode()) if i.opcode == Opcode.CONV)
    with pytest.raises(
        VerificationError,
        match=rf"^instruction {conv} \(CONV, layer conv\) reads activation piece \d+ \(4 bytes each\), "
        rf"instruction 0 \(LOAD, layer conv\) writes it, and no token orders them$",
    ):
        check(without_token(program, 0, Unit.LOAD, Unit.COMPUTE))


def test_what_no_engine_can_run_is_not_judged() -> None:
    program = first(build(preset("tiny"), CASES["padded"]).program, Opcode.LOAD, wait=1 << Unit.STORE)
    with pytest.raises(IllegalInstruction, match=r"^instruction 0 \(LOAD, layer conv\): waits for a token of STORE"):
        check(program)


def test_reading_what_nothing_wrote() -> None:
    program = build(preset("tiny"), CASES["padded"]).program
    i = next(i for i in program.decode() if i.opcode == Opcode.CONV)
    with pytest.raises(VerificationError, match=r"reads weight word \d+, which nothing has written$"):
        check(first(program, Opcode.CONV, weight_base=(i.weight_base + 64) % 1024))


def test_reading_what_was_loaded_from_nowhere() -> None:
    """The last rows of the input, from where nothing lies: the convolution reads them, not the LOAD."""
    program = build(preset("medium"), CASES["padded"]).program
    free = program.memory_bytes - 256
    with pytest.raises(VerificationError, match=r"\(CONV, layer conv\) reads activation .* nothing has written$"):
        check(first(program, Opcode.LOAD, rows=1, address=free, beats=16))


def test_a_tensor_that_is_not_written_whole() -> None:
    program = build(preset("tiny"), CASES["tiles"]).program
    stores = [k for k, i in enumerate(program.decode()) if i.opcode == Opcode.STORE]
    words = {stores[-1]: 5}
    with pytest.raises(VerificationError, match=r"^tensor 'y' lies at byte \d+ too, and nothing writes there$"):
        check(edited(program, lambda k, _: {"words": words[k]} if k in words else None))
