"""Programs with a slip in an instruction, the image or the manifest, the checksum right again.

What the models run, and the proof of its tokens accepts, the Verilog runs too: equal tensors in the cycles predicted.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from host.compiler import compile_network
from hw.contract import program as programs
from hw.contract.config import INSTRUCTION_BYTES, preset
from hw.contract.isa import LAYOUTS, IllegalInstruction, Instruction, decode
from hw.contract.program import Program
from quant.base.errors import ShiftpointError, VerificationError
from sim import hazards
from sim.bench.engine_bench import RtlJob, run_jobs
from sim.cycles import simulate
from sim.executor import run
from tests.fuzz.altering import REAL, TEXTS, WHOLE, altered, pick
from tests.fuzz.harness import Step, command
from tests.host.onnx_networks import images
from tests.sim.equal import assert_counters, assert_tensors
from tests.sim.handmade import CASES, build
from tests.sim.networks import random_network

HEADER = struct.Struct("<8sII32s32s")
VALUES = (*WHOLE, *REAL, *TEXTS, None, True, [], {}, [[]], [-1], {"x": 1}, 10**30, 0.5)
"""What a manifest may hold instead."""


def valid(rng: np.random.Generator) -> Program:
    """A program of `tiny`, by hand or of a random network."""
    if rng.integers(2):
        return build(preset("tiny"), CASES[pick(rng, list(CASES))]).program
    while True:
        try:
            return compile_network(random_network(int(rng.integers(1 << 30)), int(rng.integers(1, 5))), preset("tiny"))
        except ShiftpointError:
            continue


def with_instruction(program: Program, rng: np.random.Generator) -> tuple[Program, str]:
    """An instruction changed, moved, doubled or dropped."""
    start, size = program.program_base, INSTRUCTION_BYTES
    code = [decode(program.image[at : at + size]) for at in range(start, start + size * program.instructions, size)]
    k = int(rng.integers(len(code)))
    match rng.integers(8):
        case 0:
            j = int(rng.integers(len(code)))
            code[k], code[j] = code[j], code[k]
            said = f"instructions {k} and {j} exchanged"
        case 1:
            code[k] = code[int(rng.integers(len(code)))]
            said = f"instruction {k} overwritten by another"
        case 2:
            data = altered(code[k].encode(), rng)[:INSTRUCTION_BYTES].ljust(INSTRUCTION_BYTES, b"\0")
            return _put(program, k, data), f"bytes of instruction {k}"
        case _:
            code[k], said = _other_field(code[k], rng)
            said = f"instruction {k}: {said}"
    image = bytearray(program.image)
    image[start : start + size * len(code)] = b"".join(instruction.encode() for instruction in code)
    return replace(program, image=bytes(image)), said


def _put(program: Program, k: int, data: bytes) -> Program:
    start = program.program_base + k * INSTRUCTION_BYTES
    return replace(program, image=program.image[:start] + data + program.image[start + INSTRUCTION_BYTES :])


def _other_field(instruction: Instruction, rng: np.random.Generator) -> tuple[Instruction, str]:
    name = pick(rng, [field.name for field in fields(instruction)])
    field, _ = LAYOUTS[instruction.opcode][name]
    old = int(getattr(instruction, name))
    beside = [old + 1, old - 1, old * 2, old ^ 1, old + 4, old + 64]
    new = int(pick(rng, [field.low, field.high, int(rng.integers(field.low, field.high + 1)), *beside, *beside]))
    new = min(max(new, field.low), field.high)
    return replace(instruction, **{name: new}), f"{instruction.opcode.name}.{name} = {new}, was {old}"


def with_image(program: Program, rng: np.random.Generator) -> tuple[Program, str]:
    """Bytes of the image changed: weights, parameters, instructions."""
    return replace(program, image=altered(program.image, rng)), "bytes of the image"


def with_manifest(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A value of the manifest changed or dropped."""
    magic, version, length, config, _ = HEADER.unpack_from(data)
    manifest = json.loads(data[HEADER.size : HEADER.size + length])
    image = data[HEADER.size + length :]
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                collect(value[key])

    collect(manifest)
    owner, key = pick(rng, places)
    old = owner[key]
    numbers = [old + 1, old - 1, old * 2, 4096 * old] if isinstance(old, int) else []
    match rng.integers(4):
        case 0:
            del owner[key]
            said = f"{key} dropped"
        case 1 if numbers:
            owner[key] = pick(rng, numbers)
            said = f"{key} = {owner[key]}, was {old}"
        case 2 if isinstance(owner, list):
            owner.append(old)
            said = f"[{key}] twice"
        case _:
            owner[key] = pick(rng, VALUES)
            said = f"{key} = {owner[key]!r}, was {old!r:.60}"
    text = json.dumps(manifest).encode()
    if rng.integers(10) == 0:
        text, said = altered(text, rng), "bytes of the manifest"
    body = text + image
    return HEADER.pack(magic, version, len(text), config, hashlib.sha256(body).digest()) + body, said


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A program, run by the models."""
    program, slips = valid(rng), []
    change: Callable[[Program, np.random.Generator], tuple[Program, str]] = (
        with_instruction if rng.integers(4) else with_image
    )
    whole = rng.integers(3) > 0
    with suppress(IllegalInstruction):  # bytes that are no instruction cannot be altered field by field
        for _ in range(int(rng.integers(1, 3)) if whole else 0):
            program, said = change(program, rng)
            slips.append(said)
    data = program.to_bytes()
    if not whole:
        data, said = with_manifest(data, rng)
        slips.append(said)
    (folder / "p.program").write_bytes(data)
    (folder / "slips.txt").write_text("".join(f"{slip}\n" for slip in slips))
    images(folder / "images.npz", (1, *next(iter(program.input_shapes.values()))))
    return [
        command("simulate", "p.program", "--images", "images.npz"),
        Step("tokens and models of p.program", partial(models, folder / "p.program")),
    ]


def models(path: Path) -> int:
    """Every model on a program: 0 where all take it, else the line of the one that does not."""
    try:
        _sound(path)
    except ShiftpointError as error:
        print(f"shiftpoint: {error}", file=sys.stderr)
        return 1 if isinstance(error, VerificationError) else 2
    return 0


def verilog(path: Path) -> int:
    """A program that every model takes, on the Verilog: the same tensors in the cycles predicted."""
    program, x, expected = _sound(path)
    result = run_jobs([RtlJob(program, x[None])])[0]
    assert_tensors(program, {name: value[None] for name, value in expected.items()}, result.tensors, "Verilog")
    assert_counters(simulate(program).counters, result.counters[0], path.name)
    return 0


def _sound(path: Path) -> tuple[Program, np.ndarray, dict[str, np.ndarray]]:
    """A program, an image, and its tensors by the executor; its cycles can be predicted.

    Raises BadInput where it is refused, VerificationError where its tokens do not order every access.
    """
    program = programs.load(path)
    hazards.check(program)
    fmt = program.inputs[0].fmt
    x = np.random.default_rng(0).integers(fmt.low, fmt.high + 1, next(iter(program.input_shapes.values())))
    expected = run(program, x, check=True)
    simulate(program)
    return program, x, expected
