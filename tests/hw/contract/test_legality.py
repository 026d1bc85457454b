"""Which instructions an engine can run: each rule by an instruction that breaks it, and alterations of any kind."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.compiler import compile_network
from hw.contract.config import PRESETS, preset
from hw.contract.isa import FIELDS, HEADER, IllegalInstruction, LoadInstruction, Mode, Opcode, Target, Unit
from hw.contract.program import Program
from quant.base.errors import VerificationError
from quant.ir.window import Window
from sim import hazards
from sim.cycles import simulate
from sim.executor import ExecutionError, run
from tests.host.networks import Builder, narrowed
from tests.sim.handmade import CASES, Case, Handmade, build
from tests.sim.programs import edited, first, rewritten

POOLED = Case((8, 6, 6), 8, pool="average", pool_window=Window((3, 3), (2, 2), (1, 1, 0, 0)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_good_programs_pass(config: Any, name: str) -> None:
    build(config, CASES[name]).program.validate()


RULES: list[tuple[Case, Opcode, dict[str, int], str]] = [
    (CASES["residual"], Opcode.LOAD, {"target": 3}, "there is no buffer 3"),
    (CASES["residual"], Opcode.LOAD, {"beats": 0}, "loads nothing"),
    (CASES["residual"], Opcode.LOAD, {"address": 2}, "address or pitch is no multiple of 4 bytes"),
    (CASES["residual"], Opcode.LOAD, {"rows": 1, "pitch": 6}, "address or pitch is no multiple of 4 bytes"),
    (CASES["residual"], Opcode.LOAD, {"rows": 9, "target": 2}, "there is no residual plane 8"),
    (CASES["residual"], Opcode.LOAD, {"rows": 4096}, "reads memory up to byte 1051020, and the window has 24576"),
    (CASES["residual"], Opcode.LOAD, {"rows": 99, "pitch": 0}, "loads 6237 beats, and the activation buffer has 4096"),
    (CASES["residual"], Opcode.LOAD, {"layer": 1}, "there is no layer 1"),
    (CASES["residual"], Opcode.LOAD, {"wait": 4}, "waits for a token of POOL that nothing before gives"),
    (CASES["residual"], Opcode.LOAD, {"signal": 1}, "a unit has no tokens with itself"),
    (CASES["residual"], Opcode.SETUP, {"mode": 3}, "uses a reserved mode or format"),
    (CASES["residual"], Opcode.SETUP, {"product": 1}, "residuals multiply single taps of depthwise passes alone"),
    (CASES["residual"], Opcode.SETUP, {"mode": 1, "tap_row_step": 8}, "depthwise output rows 7 words apart, not 1 x 8"),
    (
        CASES["residual"],
        Opcode.SETUP,
        {"mode": 1, "stride_rows": 0, "row_step": 0},
        "depthwise output rows lie at least",
    ),
    (CASES["residual"], Opcode.CONV, {"meet": 1}, "columns of pixels meet, and not in rows of padding of a depthwise"),
    (CASES["residual"], Opcode.SETUP, {"data_format": 1}, "uses a reserved mode or format"),
    (CASES["residual"], Opcode.SETUP, {"weight_format": 15}, "no weight format has the number 15"),
    (CASES["residual"], Opcode.SETUP, {"signal": 1}, "a SETUP gives no tokens"),
    (CASES["residual"], Opcode.SETUP, {"table": 1}, "looks up in a table that nothing loaded"),
    (CASES["residual"], Opcode.SETUP, {"kernel_rows": 0}, "has a kernel without taps"),
    (CASES["residual"], Opcode.SETUP, {"low": 9, "high": 8}, "clips to 9 at least and 8 at most"),
    (CASES["residual"], Opcode.CONV, {"out_rows": 300}, "a tile of 2100 pixels, and the engine takes 1 to 256"),
    (CASES["residual"], Opcode.CONV, {"out_columns": 0}, "a tile of 0 pixels, and the engine takes 1 to 256"),
    (CASES["residual"], Opcode.CONV, {"input_groups": 0}, "has no input group"),
    (CASES["residual"], Opcode.CONV, {"first": 0}, "continues a tile of 0 pixels with 28"),
    (CASES["residual"], Opcode.CONV, {"in_rows": 999}, "takes 27972 input words of the activation buffer, which has"),
    (CASES["residual"], Opcode.CONV, {"input_groups": 40}, "takes 1448 beats of the weight buffer, which has 1024"),
    (CASES["wide"], Opcode.CONV, {"to_pool": 1}, "wide results do not go to the pool buffer"),
    (POOLED, Opcode.POOL, {"out_rows": 0}, "pools nothing"),
    (POOLED, Opcode.POOL, {"low": 9, "high": 8}, "clips to 9 at least and 8 at most"),
    (POOLED, Opcode.POOL, {"row_offset": -3}, "a window lies outside its input"),
    (POOLED, Opcode.POOL, {"column_offset": 2}, "a window lies outside its input"),
    (POOLED, Opcode.POOL, {"in_rows": 0, "row_offset": -1, "stride_rows": 0}, "a window lies outside its input"),
    (POOLED, Opcode.POOL, {"in_columns": 0, "out_columns": 1}, "a window lies outside its input"),
    (POOLED, Opcode.POOL, {"in_columns": 200}, "takes 1200 words of the pool buffer, which has 1024"),
    (POOLED, Opcode.POOL, {"sum_bits": 21}, "divides sums of 21 bits with a shift by"),
    (POOLED, Opcode.POOL, {"shift": 11, "sum_bits": 11}, "divides sums of 11 bits with a shift by 11"),
    (CASES["residual"], Opcode.STORE, {"planes": 2}, "stores 2 planes, and a result has 1"),
    (CASES["residual"], Opcode.STORE, {"words": 0}, "stores nothing"),
    (CASES["residual"], Opcode.STORE, {"rows": 2, "row_pitch": 2}, "source and target do not agree modulo the beat"),
    (CASES["residual"], Opcode.STORE, {"rows": 99}, "stores 2772 words, and the output buffer has 512"),
    (CASES["residual"], Opcode.STORE, {"address": 1 << 30}, "writes memory up to byte 1073741936, and the window has"),
    (
        CASES["residual"],
        Opcode.STORE,
        {"rows": 2, "row_pitch": 1 << 20},
        "writes memory up to byte 1068528, and the window",
    ),
    (CASES["residual"], Opcode.STORE, {"target": 3}, "there is no target 3"),
    (CASES["residual"], Opcode.STORE, {"address": 0}, "overwrites instructions or weights of the program"),
]


@pytest.mark.parametrize(("case", "opcode", "values", "message"), RULES, ids=[f"{r[1].name}-{r[2]}" for r in RULES])
def test_rules(case: Case, opcode: Opcode, values: dict[str, int], message: str) -> None:
    program = first(build(preset("tiny"), case).program, opcode, **values)
    with pytest.raises(IllegalInstruction) as caught:
        program.validate()
    text = str(caught.value)
    layer = "pool" if opcode == Opcode.POOL else str(values.get("layer", "conv"))
    assert f" ({opcode.name}, layer {layer}): {message}" in text and text.startswith("instruction "), text


KERNEL = Case((8, 6, 6), 8, Window((3, 3)))
LISTED: list[tuple[Case, dict[str, int], dict[str, int], str]] = [
    (KERNEL, {}, {"blocks": 1}, ""),
    (KERNEL, {}, {"blocks": 18}, ""),
    (KERNEL, {}, {"blocks": 19}, "lists 19 weight blocks of 18"),
    (Case((4, 6, 6), 4, Window((3, 3))), {"mode": 1}, {"blocks": 1}, "leaves blocks of passes out that are not dense"),
    (KERNEL, {"dilation_rows": 2}, {"blocks": 1}, "lists weight blocks of taps that are no neighbours"),
    (KERNEL, {"dilation_columns": 2}, {"blocks": 1}, "lists weight blocks of taps that are no neighbours"),
    (KERNEL, {"dilation_rows": 2, "kernel_rows": 1}, {"blocks": 1}, ""),
    (KERNEL, {"kernel_rows": 33}, {"blocks": 1}, "lists weight blocks of more than 64 input groups, or 32 rows or"),
    (KERNEL, {"kernel_columns": 33}, {"blocks": 1}, "lists weight blocks of more than 64 input groups, or 32 rows or"),
    (KERNEL, {}, {"blocks": 1, "input_groups": 65}, "lists weight blocks of more than 64 input groups, or 32 rows or"),
    (
        KERNEL,
        {"kernel_rows": 32},
        {"blocks": 230, "input_groups": 3},
        "takes 1043 beats of the weight buffer, which has 1024",
    ),
]


@pytest.mark.parametrize(("case", "setup", "conv", "message"), LISTED, ids=[f"{r[1]}-{r[2]}" for r in LISTED])
def test_listed_blocks(case: Case, setup: dict[str, int], conv: dict[str, int], message: str) -> None:
    program = first(build(preset("tiny"), case).program, Opcode.SETUP, **setup)
    program = first(program, Opcode.CONV, **conv)
    if not message:
        program.validate()
        return
    with pytest.raises(IllegalInstruction, match=message):
        program.validate()


@pytest.mark.parametrize(
    ("codebooks", "setup", "codebook", "message"),
    [
        (True, {"weight_format": 1}, 1, ""),
        (True, {"weight_format": 2, "mode": Mode.PAIRED}, 1, ""),
        (True, {"weight_format": 1}, 0, "has weights that are indices into a codebook that nothing loaded$"),
        (True, {}, 1, "loads a codebook for weights that are no indices$"),
        (True, {"weight_format": 1, "mode": Mode.DEPTHWISE}, 1, "has weights that are indices in depthwise passes$"),
        (False, {"weight_format": 2}, 1, "has weights that are indices, and the engine has no codebooks$"),
    ],
)
def test_indices(codebooks: bool, setup: dict[str, int], codebook: int, message: str) -> None:
    """Into a codebook that is there, in passes whose blocks they fill, of an engine that knows them."""
    program = build(dataclasses.replace(preset("tiny"), codebooks=codebooks), KERNEL).program
    values = {Opcode.SETUP: setup, Opcode.CONV: {"codebook": codebook}}
    program = edited(program, lambda _, i: values.get(i.opcode))
    if not message:
        program.validate()
        return
    with pytest.raises(IllegalInstruction, match=message):
        program.validate()


def packed_program(outputs: int = 8) -> Program:
    """A convolution whose weights share multipliers, of an engine of 4 x 4."""
    b = Builder(np.random.default_rng(1), (16, 6, 6))
    b.conv("x", outputs, Window((3, 3)))
    return compile_network(narrowed(b.network()), dataclasses.replace(preset("tiny"), packed=True))


@pytest.mark.parametrize(
    ("which", "changes", "message"),
    [
        (0, {"weight_format": 0}, "has no input group$"),
        (0, {"mode": Mode.DEPTHWISE}, "has weights that share multipliers in depthwise passes$"),
        (2, {"first": 0}, "continues a tile of 0 pixels with 8$"),
        (2, {"last": 0}, "has no input group, and is not first and last of a second output group$"),
        (2, {"blocks": 1}, "lists 1 weight blocks of 0$"),
        (2, {"codebook": 1}, "loads a codebook for weights that are no indices$"),
        (2, {"partial_base": 1}, "goes on from the second sums of a tile of 0 pixels with 8$"),
        (2, {"out_columns": 3}, "goes on from the second sums of a tile of 8 pixels with 6$"),
        (1, {"input_groups": 0}, "goes on from the second sums of a tile of 0 pixels with 8$"),
    ],
)
def test_pairs_of_output_groups(which: int, changes: dict[str, int], message: str) -> None:
    """which: 0 is the SETUP, 1 the CONV of the first output group, 2 that of the second."""
    program = packed_program()
    compute = [k for k, i in enumerate(program.decode()) if i.opcode in (Opcode.SETUP, Opcode.CONV)]
    program.validate()
    program = edited(program, lambda k, _: changes if k == compute[which] else None)
    with pytest.raises(IllegalInstruction, match=message):
        program.validate()


def test_second_sums_that_another_tile_has_overwritten() -> None:
    """Of two pairs, the CONV of the second group comes behind both of the first."""
    program = packed_program(outputs=16)
    instructions = list(program.decode())
    convs = [k for k, i in enumerate(instructions) if i.opcode == Opcode.CONV]
    last = instructions.pop(convs[1])
    instructions.insert(convs[2], dataclasses.replace(last, wait=0, signal=0, to_output=0))
    with pytest.raises(IllegalInstruction, match="goes on from the second sums|waits for|tokens"):
        rewritten(program, instructions).validate()


def test_an_engine_whose_multipliers_take_one_weight() -> None:
    program = packed_program()
    program = dataclasses.replace(program, config=preset("tiny"))
    with pytest.raises(IllegalInstruction, match="has weights that share multipliers, and the engine's have one each$"):
        program.validate()


@pytest.mark.parametrize(
    ("opcode", "changes", "message"),
    [
        (Opcode.SETUP, {"weight_format": 0}, "has int8 weights, and the engine 16-bit ones"),
        (Opcode.SETUP, {"weight_format": 1}, "has weights that are indices, and the engine has no codebooks"),
        (Opcode.SETUP, {"wide": 1}, "has wide results, and the engine's data have 16 bits"),
        (Opcode.SETUP, {"table_load": 1}, "uses a table, and the engine has none"),
        (Opcode.POOL, {"wide": 1}, "has wide results, and the engine's data have 16 bits"),
    ],
)
def test_what_an_engine_of_16_bits_has_not(opcode: Opcode, changes: dict[str, int], message: str) -> None:
    program = first(build(preset("small16"), CASES["average_pool"]).program, opcode, **changes)
    with pytest.raises(IllegalInstruction, match=f"{message}$"):
        program.validate()


def test_weights_of_16_bits_are_not_for_an_engine_of_8() -> None:
    program = first(build(preset("small"), CASES["pointwise"]).program, Opcode.SETUP, weight_format=3)
    with pytest.raises(IllegalInstruction, match="has int16 weights, and the engine 8-bit ones$"):
        program.validate()


def test_an_engine_that_reads_all_blocks() -> None:
    config = dataclasses.replace(preset("tiny"), skip_blocks=False)
    program = first(build(config, KERNEL).program, Opcode.CONV, blocks=1)
    with pytest.raises(IllegalInstruction, match="leaves weight blocks out, and the engine reads all$"):
        program.validate()


EXACT: list[tuple[Case, Opcode, dict[str, int]]] = [
    (CASES["residual"], Opcode.SETUP, {"low": 9, "high": 9}),
    (CASES["wide"], Opcode.CONV, {"last": 0, "to_pool": 1}),  # there are no results yet
    (CASES["residual"], Opcode.CONV, {"partial_base": 65535}),  # nobody goes on from it
    (CASES["residual"], Opcode.STORE, {"row_pitch": 2, "plane_pitch": 2}),  # there is one row, and one plane
    (CASES["residual"], Opcode.STORE, {"rows": 2, "source_pitch": 3, "row_pitch": 4}),
    (POOLED, Opcode.POOL, {"row_offset": -2, "column_offset": -2}),
    (POOLED, Opcode.POOL, {"row_offset": 1, "column_offset": 1}),
    (POOLED, Opcode.POOL, {"sum_bits": 20, "shift": 21}),
    (dataclasses.replace(POOLED, pool="max"), Opcode.POOL, {"sum_bits": 30, "shift": 0}),
]


@pytest.mark.parametrize(("case", "opcode", "values"), EXACT, ids=[f"{e[1].name}-{e[2]}" for e in EXACT])
def test_what_is_just_legal(case: Case, opcode: Opcode, values: dict[str, int]) -> None:
    first(build(preset("tiny"), case).program, opcode, **values).validate()


def test_a_depthwise_result_has_no_more_planes_than_an_engine() -> None:
    case = Case((16, 4, 4), 16, Window())
    program = first(build(preset("medium"), case).program, Opcode.SETUP, mode=Mode.DEPTHWISE)
    program.validate()
    with pytest.raises(IllegalInstruction, match="a depthwise CONV of 3 input groups, and a result has 2$"):
        first(program, Opcode.CONV, input_groups=3).validate()


def test_pairs_are_neighbours_in_lanes_that_halve() -> None:
    case = Case((2, 4, 4), 4, Window((1, 2)))
    program = build(preset("tiny"), case).program
    first(program, Opcode.SETUP, mode=Mode.PAIRED).validate()
    with pytest.raises(IllegalInstruction, match="pairs taps that are 3 columns apart$"):
        first(program, Opcode.SETUP, mode=Mode.PAIRED, dilation_columns=3).validate()
    narrow = dataclasses.replace(preset("tiny"), skip_blocks=False, codebooks=False, name="narrow", ic_lanes=1)
    with pytest.raises(IllegalInstruction, match="pairs taps, and the engine has one input lane$"):
        first(build(narrow, Case((1, 4, 4), 4, Window())).program, Opcode.SETUP, mode=Mode.PAIRED).validate()


@pytest.mark.parametrize(
    ("values", "legal"),
    [({}, True), ({"row_offset": 0}, False), ({"out_rows": 3}, False), ({"in_rows": 6}, False), ({"in_rows": 5}, True)],
)
def test_columns_meet_in_padding_alone(values: dict[str, int], legal: bool) -> None:
    case = Case((8, 5, 4), 8, Window((3, 3), (1, 1), (1, 1, 1, 1)))
    program = first(build(preset("small"), case).program, Opcode.SETUP, mode=Mode.DEPTHWISE)
    program = first(program, Opcode.CONV, meet=1, **values)
    if legal:
        program.validate()
        return
    with pytest.raises(IllegalInstruction, match="columns of pixels meet, and not in rows of padding"):
        program.validate()


@pytest.mark.parametrize(
    ("field", "least", "message"),
    [
        ("partial_sum_depth", 16, "a tile of 16 pixels, and the engine takes 1 to 8"),
        ("activation_depth", 32, "loads 32 beats, and the activation buffer has 16"),
        ("weight_depth", 16, "loads 16 beats, and the weight buffer has 8"),
        ("residual_depth", 16, "loads 16 beats, and the residual buffer has 8"),
        ("output_depth", 16, "takes 16 words of the output buffer, which has 8"),
        ("pool_depth", 16, "takes 16 words of the pool buffer, which has 8"),
        ("pooled_depth", 4, "takes 4 words of the pooled buffer, which has 2"),
    ],
)
def test_what_just_fits(field: str, least: int, message: str) -> None:
    case = Case((8, 4, 4), 8, residual=True, pool="max")
    program = build(preset("tiny"), case).program
    dataclasses.replace(program, config=dataclasses.replace(program.config, **{field: least})).validate()
    with pytest.raises(IllegalInstruction, match=f": {message}$"):
        dataclasses.replace(program, config=dataclasses.replace(program.config, **{field: least // 2})).validate()


def test_what_is_stored_on_the_chip_fits_there() -> None:
    config = dataclasses.replace(preset("tiny"), name="shallow", residual_depth=32)
    program = build(config, CASES["padded"]).program
    first(program, Opcode.STORE, target=Target.RESIDUAL, words=32, address=0).validate()
    with pytest.raises(IllegalInstruction, match="takes 33 words of the residual buffer, which has 32"):
        first(program, Opcode.STORE, target=Target.RESIDUAL, words=33, address=0).validate()


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.STORE])
def test_the_end_of_memory(opcode: Opcode) -> None:
    program = build(preset("tiny"), CASES["pointwise"]).program
    size = {Opcode.LOAD: 200, Opcode.STORE: 100}[opcode]
    first(program, opcode, address=program.memory_bytes - size).validate()
    with pytest.raises(IllegalInstruction, match="memory up to byte"):
        first(program, opcode, address=program.memory_bytes - size + 4).validate()


@pytest.mark.parametrize(
    ("case", "depth", "message"),
    [
        (Case((8, 4, 4), 8, wide=True), 32, "takes 32 words of the output buffer, which has 16"),
        (Case((8, 3, 3), 8, wide=True), 32, "takes 19 words of the output buffer, which has 16"),
    ],
)
def test_wide_results_begin_their_high_halves_in_a_beat(case: Case, depth: int, message: str) -> None:
    program = build(preset("medium"), case).program
    dataclasses.replace(program, config=dataclasses.replace(program.config, output_depth=depth)).validate()
    with pytest.raises(IllegalInstruction, match=message):
        dataclasses.replace(program, config=dataclasses.replace(program.config, output_depth=depth // 2)).validate()


def test_the_first_of_several() -> None:
    program = build(preset("tiny"), CASES["residual"]).program
    stores = [k for k, i in enumerate(program.decode()) if i.opcode == Opcode.STORE]
    broken = edited(program, lambda k, _: {"words": 0, "planes": 0} if k in stores[1:] else None)
    with pytest.raises(IllegalInstruction, match=rf"^instruction {stores[1]} .*: stores 0 planes, and a result has 1$"):
        broken.validate()


def test_a_convolution_before_its_setup() -> None:
    program = build(preset("tiny"), CASES["pointwise"]).program
    load = LoadInstruction(beats=1, rows=1, address=0).encode()
    with pytest.raises(IllegalInstruction, match=r"^instruction 3 \(CONV, layer conv\): no SETUP came before$"):
        at = next(k for k, i in enumerate(program.decode()) if i.opcode == Opcode.SETUP) * len(load)
        dataclasses.replace(program, image=program.image[:at] + load + program.image[at + 32 :]).validate()


def test_sums_that_another_tile_has_overwritten() -> None:
    program = build(preset("tiny"), CASES["chunks"]).program
    convs = [k for k, i in enumerate(program.decode()) if i.opcode == Opcode.CONV]
    broken = edited(program, lambda k, _: {"last": 1} if k == convs[2] else None)
    with pytest.raises(IllegalInstruction, match=rf"^instruction {convs[3]} .* continues a tile of 0 pixels with 35$"):
        broken.validate()


@pytest.mark.parametrize(
    ("bases", "kept"),
    [
        ((7, 7), 35),
        ((7, 263), 35),
        ((7, 8), 0),
        ((250, 250), 35),
        ((7, 7, 300), 35),
        ((7, 7, 290), 0),
        ((7, 7, 230), 0),
    ],
)
def test_where_the_sums_of_a_tile_are_kept(bases: tuple[int, ...], kept: int) -> None:
    """The third CONV goes on from the first one's, of 256 sums, if it finds them, and the one in between, where that is
    not of the same tile, has left none of its own among them."""
    program = build(preset("tiny"), CASES["chunks"]).program
    convs = [k for k, i in enumerate(program.decode()) if i.opcode == Opcode.CONV]
    between = {"first": 1, "partial_base": bases[2]} if len(bases) > 2 else {"partial_base": bases[1]}
    changes = {convs[0]: {"partial_base": bases[0]}, convs[1]: between, convs[2]: {"partial_base": bases[1]}}
    program = edited(program, lambda k, _: changes.get(k) or ({"first": 1} if k in convs[3:] else None))
    if kept:
        program.validate()
        return
    with pytest.raises(IllegalInstruction, match=r" continues a tile of 0 pixels with 35$"):
        program.validate()


def test_tokens_that_a_semaphore_may_not_hold() -> None:
    """4,095 fit; besides those that are pending, the queue's four may not have been taken yet."""
    program = build(preset("tiny"), CASES["pointwise"]).program
    load = LoadInstruction(beats=1, rows=1, signal=1 << Unit.POOL).encode()

    def loads(count: int) -> Program:
        moved = {
            name: tuple(dataclasses.replace(p, address=(1 << 17) + p.address) for p in getattr(program, name))
            for name in ("inputs", "tensors")
        }
        return dataclasses.replace(program, image=load * count, instructions=count, memory_bytes=1 << 18, **moved)

    loads(4091).validate()
    with pytest.raises(
        IllegalInstruction,
        match=r"^instruction 4091 \(LOAD, layer conv\): leaves 4092 tokens of LOAD for POOL; 4091 are sure to fit$",
    ):
        loads(4092).validate()


SMALL = {name: build(preset("tiny"), CASES[name]) for name in ("one_pixel", "chunks", "residual", "wide")}
SMALL["pooled"] = build(preset("tiny"), POOLED)


@st.composite
def alterations(draw: st.DrawFn) -> tuple[Handmade, Program]:
    """A good program, and the same with a few fields changed: to extremes, to neighbours, to anything."""
    made = SMALL[draw(st.sampled_from(sorted(SMALL)))]
    code = list(made.program.decode())
    changes: dict[int, dict[str, int]] = {}
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(code) - 1))
        field = draw(st.sampled_from([f for f in HEADER + FIELDS[code[index].opcode] if f.name != "opcode"]))
        now = getattr(code[index], field.name)
        near = [v for v in (0, 1, now - 1, now + 1, 2 * now, now // 2) if field.low <= v <= field.high]
        value = draw(st.sampled_from([field.low, field.high, *near]) | st.integers(field.low, field.high))
        changes.setdefault(index, {})[field.name] = value
    return made, edited(made.program, lambda k, _: changes.get(k))


@settings(max_examples=150)
@given(alterations())
def test_what_passes_is_run_by_all(altered: tuple[Handmade, Program]) -> None:
    made, program = altered
    try:
        program.validate()
    except IllegalInstruction as error:
        assert "\n" not in str(error) and str(error).startswith("instruction ")
        return
    assert simulate(program).cycles > 0
    with contextlib.suppress(VerificationError):  # tokens that order too little
        hazards.check(program)
    with contextlib.suppress(ExecutionError):  # data: shifts beyond the engine, sums beyond their width
        run(program, made.x)
