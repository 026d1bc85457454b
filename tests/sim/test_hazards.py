"""The hazard checker: correct programs pass, and every token that is needed is missed when it is gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.isa import (
    Buffer,
    IllegalInstruction,
    Instruction,
    Opcode,
    SetupInstruction,
    Source,
    StoreInstruction,
    Target,
    Unit,
)
from hw.contract.program import Program
from quant.base.errors import VerificationError
from quant.ir.window import Window
from sim.hazards import check
from tests.host.networks import Builder
from tests.sim.handmade import CASES, Case, build
from tests.sim.programs import edited, first, with_a_load, with_copies


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


def test_one_writer_of_a_buffer_at_a_time() -> None:
    program = with_copies(build(preset("medium"), CASES["tiles"]).program, Target.ACTIVATION, before=False)
    check(program)
    check(with_a_load(program, 1 << Unit.STORE))
    with pytest.raises(VerificationError, match="writes through the write port of the activation buffer, .* does, too"):
        check(with_a_load(program, 0))


def test_names_both_instructions() -> None:
    program = build(preset("tiny"), CASES["padded"]).program
    conv = next(k for k, i in enumerate(program.decode()) if i.opcode == Opcode.CONV)
    with pytest.raises(
        VerificationError,
        match=rf"^instruction {conv} \(CONV, layer conv\) reads activation piece \d+ \(4 bytes each\), "
        rf"instruction 0 \(LOAD, layer conv\) writes it, and no token orders them$",
    ):
        check(without_token(program, 0, Unit.LOAD, Unit.COMPUTE))


def test_tokens_of_tables_are_missed(rng: np.random.Generator) -> None:
    """A SETUP waits for its table; what overwrites that, long after, for a CONV behind it."""
    b = Builder(rng, (4, 6, 6))
    made = "x"
    for _ in range(6):
        made = b.table(b.conv(made, 4))
    program = compile_network(b.network(), replace(preset("tiny"), weight_depth=256))
    check(program)
    tables = [k for k, i in enumerate(program.decode()) if isinstance(i, SetupInstruction) and i.table_load]
    assert len(tables) == 6
    for token in tokens(program):
        with pytest.raises(VerificationError, match="no token orders them|nothing has written"):
            check(without_token(program, *token))
    swapped = first(program, Opcode.SETUP, table_base=130)
    with pytest.raises(VerificationError, match=r"\(SETUP, layer layer0\) reads weight word \d+"):
        check(swapped)


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


RESIDUAL = Window((3, 3), pads=(1, 1, 1, 1))


@pytest.mark.parametrize("pool", [None, "max"])
def test_storing_planes_whose_residual_was_not_loaded(pool: str | None) -> None:
    """Of two planes of a result, the second one is free for what the residual of the first does not fill."""
    check(build(preset("medium"), Case((8, 9, 7), 8, RESIDUAL, residual=True, pool=pool)).program)
    program = build(preset("medium"), Case((24, 9, 7), 24, RESIDUAL, chunk_groups=1, residual=True, pool=pool)).program
    check(program)
    residual = next(k for k, i in enumerate(program.decode()) if getattr(i, "target", None) == Buffer.RESIDUAL)
    with pytest.raises(
        VerificationError, match=r"\(STORE, layer conv\) stores plane 1, which depends on a residual that"
    ):
        check(edited(program, lambda k, _: {"rows": 1} if k == residual else None))
    if pool is not None:  # nothing but the pooled results, whose planes are the convolution's
        with pytest.raises(VerificationError, match=r"\(STORE, layer pool\) stores plane 1, which"):
            check(edited(program, lambda k, i: _one_plane(k == residual, i)))


def _one_plane(residual: bool, i: Instruction) -> dict[str, int]:
    if residual:
        return {"rows": 1}
    return {"planes": 1} if isinstance(i, StoreInstruction) and i.source == Source.OUTPUT else {}


def test_a_tensor_that_is_not_written_whole() -> None:
    program = build(preset("tiny"), CASES["tiles"]).program
    stores = [k for k, i in enumerate(program.decode()) if i.opcode == Opcode.STORE]
    words = {stores[-1]: 5}
    with pytest.raises(VerificationError, match=r"^tensor 'y' lies at byte \d+ too, and nothing writes there$"):
        check(edited(program, lambda k, _: {"words": words[k]} if k in words else None))
