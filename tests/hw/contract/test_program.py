"""The program file: what goes in comes out, and what cannot be used is refused in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from hw.contract.config import preset
from hw.contract.isa import IllegalInstruction, LoadInstruction, Opcode, SetupInstruction
from hw.contract.layout import Fold, Placement, pack, unpack
from hw.contract.program import LayerEntry, Program, from_bytes, load
from hw.contract.version import CONTRACT_VERSION
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window

HEADER = 8 + 4 + 4 + 32 + 32


@pytest.fixture
def program() -> Program:
    code = [SetupInstruction(kernel_rows=1, kernel_columns=1), LoadInstruction(beats=3, rows=1)]
    fold = Fold(Window((3, 3), (1, 1), (1, 1, 1, 1)))
    return Program(
        config=preset("small"),
        name="net",
        input_shapes={"x": (3, 8, 8)},
        image=bytes(256) + b"".join(i.encode() for i in code) + b"weights",
        program_base=256,
        instructions=2,
        memory_bytes=8192,
        inputs=(Placement("x", 4096, (27, 8, 8), QFormat(8, 4, False), tuple(range(27)), fold),),
        tensors=(Placement("y", 6144, (4, 8, 8), QFormat(16, 3), (0, 1, 2, 9)),),
        outputs=("y",),
        layers=(LayerEntry("conv", "Conv", ("pool",), "y", 1000, 200, 100),),
        metadata={"source": "a test", "preprocess.mean": "1,2"},
    )


def test_round_trip(program: Program, tmp_path: Path) -> None:
    assert from_bytes(program.to_bytes()) == program
    program.save(tmp_path / "net.bin")
    assert load(tmp_path / "net.bin", preset("small")) == program
    assert [i.opcode for i in load(tmp_path / "net.bin").decode()] == [Opcode.SETUP, Opcode.LOAD]
    assert program.placements["y"].address == 6144


def test_a_run_of_several_images(program: Program, rng: np.random.Generator) -> None:
    """What is of one image lies by itself, what is of all one below the other; the last image fills the run up."""
    (x,), (y,) = program.inputs, program.tensors
    alone = dataclasses.replace(x, fold=None, shape=(3, 8, 8), lanes=(0, 1, 2))
    inputs = (*(dataclasses.replace(alone, image=k) for k in (1, 0)), dataclasses.replace(x, shape=(27, 16, 8)))
    two = dataclasses.replace(program, batch=2, inputs=inputs, tensors=(dataclasses.replace(y, shape=(4, 16, 8)),))
    images = rng.integers(0, 256, (2, 3, 8, 8))
    for given, seen in ((images, images), (images[:1], images[[0, 0]])):
        second, first, both = (data for _, data in two.packed(given))
        assert second == pack(seen[1], alone, two.config) and first == pack(seen[0], alone, two.config)
        folded = np.concatenate([x.fold.apply(image) for image in seen], axis=1) if x.fold else seen
        np.testing.assert_array_equal(unpack(both, inputs[2], two.config), folded)
    with pytest.raises(ValueError, match="^x: a run takes 1 to 2 images, not 3$"):
        next(two.packed(images[[0, 0, 0]]))
    values = rng.integers(-9, 9, (2, 4, 8, 8))
    below = np.concatenate(list(values), axis=1)
    found = two.tensor("y", lambda placement: pack(below, placement, two.config))
    np.testing.assert_array_equal(found, values)


def test_layers_of_several_images_as_one(program: Program) -> None:
    (layer,) = program.layers
    each = [dataclasses.replace(layer, name=name, image=image) for image in (0, 1) for name in ("one", "two")]
    turns = dataclasses.replace(program, batch=2, layers=(*each, layer)).turns
    assert [(entry.name, indexes) for entry, indexes in turns] == [("one", [0, 2]), ("two", [1, 3]), ("conv", [4])]
    assert (
        turns[0][0] == dataclasses.replace(layer, name="one", macs=2000, read_bytes=400, written_bytes=200, image=None)
        and turns[2][0] == layer
    )


def test_the_same_program_gives_the_same_bytes(program: Program) -> None:
    assert program.to_bytes() == dataclasses.replace(program).to_bytes()


def refused(data: bytes, **options: object) -> str:
    with pytest.raises(BadInput) as caught:
        from_bytes(data, "net.bin", **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("data", [b"", b"SHIFTPT1", bytes(200), b"PK" + bytes(200)])
def test_no_program(data: bytes) -> None:
    assert refused(data) == "net.bin: not a shiftpoint program"


def test_truncated(program: Program) -> None:
    data = program.to_bytes()
    for end in (HEADER, HEADER + 5, len(data) - 1):
        assert refused(data[:end]) == "net.bin: truncated or corrupted (checksum does not match)"


def test_corrupted(program: Program) -> None:
    data = program.to_bytes()
    for at in (HEADER, len(data) - 3, 20 + 32):
        changed = bytearray(data)
        changed[at] ^= 1
        assert refused(bytes(changed)) == "net.bin: truncated or corrupted (checksum does not match)"


def test_another_contract_version(program: Program) -> None:
    data = bytearray(program.to_bytes())
    struct.pack_into("<I", data, 8, CONTRACT_VERSION + 1)
    assert refused(bytes(data)) == (
        f"net.bin: made for contract version {CONTRACT_VERSION + 1}, this is {CONTRACT_VERSION}; compile it again"
    )


def test_a_configuration_that_contradicts_its_hash(program: Program) -> None:
    data = bytearray(program.to_bytes())
    data[16] ^= 1
    assert refused(bytes(data)) == "net.bin: corrupted (configuration does not match its hash)"


def test_another_configuration(program: Program) -> None:
    small, medium = preset("small"), preset("medium")
    assert refused(program.to_bytes(), config=medium) == (
        f"net.bin: made for configuration 'small' ({small.hash[:8]}), not for 'medium' ({medium.hash[:8]})"
    )


def test_a_configuration_of_another_name_is_the_same_one(program: Program) -> None:
    renamed = dataclasses.replace(preset("small"), name="mine", clock_mhz=50.0)
    assert from_bytes(program.to_bytes(), config=renamed) == program


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value) == f"{path}: No such file or directory"


def test_messages_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(b"no")
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value) == f"{path}: not a shiftpoint program"


def test_illegal_instructions_are_found_when_loaded(program: Program) -> None:
    blank = dataclasses.replace(program, program_base=0)
    assert refused(blank.to_bytes()) == "net.bin: instruction 0: no instruction has opcode 0"
    with pytest.raises(IllegalInstruction, match="^instruction 0: no instruction has opcode 0$"):
        list(blank.decode())


def test_the_header(program: Program) -> None:
    data = program.to_bytes()
    magic, version, length, config, digest = struct.unpack_from("<8sII32s32s", data)
    assert (magic, version, config.hex()) == (b"SHIFTPT1", CONTRACT_VERSION, preset("small").hash)
    assert digest == hashlib.sha256(data[HEADER:]).digest()
    assert data[HEADER + length :] == program.image


def test_instructions_are_described(program: Program) -> None:
    assert program.describe(1) == "instruction 1 (LOAD, layer conv)"
    layers = tuple(dataclasses.replace(layer, image=2) for layer in program.layers)
    in_batch = dataclasses.replace(program, layers=layers, batch=3)
    assert in_batch.describe(1) == "instruction 1 (LOAD, layer conv, image 3 of 3)"
