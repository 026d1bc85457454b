"""Golden vectors of a program: runs with their inputs, the bytes that these become in memory, and their outputs.

Drivers in all languages are held to the same file, on the executor and on a board:

    bytes     contents, numbers little-endian, 32 bits unsigned
    8         magic "SPVECT01"
    12        CONFIG_HASH, CRC-32 of the program's image, number of runs
    of each run:
    4         images, the program's batch at most
    ...       of each input, the images' elements (N, C, H, W)
    4         number of pieces of memory
    ...       of each: offset in the window, bytes, and these; of a run that is not full, the last image fills it
    ...       of each output, the images' elements (N, C, H, W)

Elements have the smallest type of their format: 8 or 16 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from host.driver import Driver
from host.feed import input_format
from hw.contract.program import Program
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given, by_input, by_run, together

_MAGIC = b"SPVECT01"
_HEADER = struct.Struct("<8sIII")
_NUMBER = struct.Struct("<I")
_PIECE = struct.Struct("<II")


@dataclass(frozen=True, eq=False)
class Run:
    """One run.  images, outputs: integers (N, C, H, W) by name; pieces: offsets in the window, and what is there."""

    images: dict[str, np.ndarray]
    pieces: tuple[tuple[int, bytes], ...]
    outputs: dict[str, np.ndarray]


def runs_of(program: Program, images: Given, outputs: Mapping[str, np.ndarray]) -> list[Run]:
    """The runs that images make.  images: integers (N, C, H, W) of each input; outputs: of each image, by name."""
    runs, first = [], 0
    for given in by_run(images, program.batch):
        arrays = {
            name: np.asarray(array).astype(input_format(program, name).dtype)
            for name, array in by_input(list(program.input_shapes), given).items()
        }
        end = first + len(given)
        wanted = {name: outputs[name][first:end].astype(output_type(program, name)) for name in program.outputs}
        runs.append(Run(arrays, tuple(program.packed(together(arrays))), wanted))
        first = end
    return runs


def output_type(program: Program, name: str) -> np.dtype:
    """Of the elements of a tensor in memory, as files and the driver in C have them."""
    return program.placements[name].fmt.dtype


def output_shape(program: Program, name: str) -> tuple[int, int, int]:
    """(C, H, W) of one image of a tensor in memory."""
    channels, height, width = (placed := program.placements[name]).shape
    return channels, height // program.batch if placed.image is None else height, width


def to_bytes(program: Program, runs: list[Run]) -> bytes:
    """The file."""
    parts = [_HEADER.pack(_MAGIC, program.config.word, program.image_crc, len(runs))]
    for run in runs:
        parts.append(_NUMBER.pack(len(next(iter(run.images.values())))))
        parts += [_little(array) for array in run.images.values()]
        parts.append(_NUMBER.pack(len(run.pieces)))
        for offset, data in run.pieces:
            parts += [_PIECE.pack(offset, len(data)), data]
        parts += [_little(array) for array in run.outputs.values()]
    return b"".join(parts)


def _little(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


class _Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self.what = data, 0, what

    def take(self, size: int) -> bytes:
        """The next bytes.  Raises BadInput where they are missing."""
        if self._at + size > len(self._data):
            raise BadInput(f"{self.what}: truncated")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        """The next number."""
        return int(_NUMBER.unpack(self.take(_NUMBER.size))[0])

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The next elements."""
        size = dtype.itemsize
        for extent in shape:
            size *= extent
        return np.frombuffer(self.take(size), dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    def end(self) -> None:
        """Raise BadInput where something is left."""
        if self._at != len(self._data):
            raise BadInput(f"{self.what}: {len(self._data) - self._at} bytes too many")


def from_bytes(data: bytes, program: Program, what: str = "vectors") -> list[Run]:
    """The runs in `data`.  Raises BadInput for no vectors, those of another program, and truncated ones."""
    reader = _Reader(data, what)
    if data[: len(_MAGIC)] != _MAGIC:
        raise BadInput(f"{what}: no golden vectors")
    _, config, crc, count = _HEADER.unpack(reader.take(_HEADER.size))
    if (config, crc) != (program.config.word, program.image_crc):
        raise BadInput(f"{what}: of another program than {program.name}")
    runs = list(_runs(reader, program, count))
    reader.end()
    return runs


def _runs(reader: _Reader, program: Program, count: int) -> Iterator[Run]:
    for _ in range(count):
        number = reader.number()
        if not 1 <= number <= program.batch:
            raise BadInput(f"{reader.what}: a run of {number} images, and {program.batch} are possible")
        images = {
            name: reader.array((number, *shape), input_format(program, name).dtype)
            for name, shape in program.input_shapes.items()
        }
        pieces = []
        for _ in range(reader.number()):
            offset, size = _PIECE.unpack(reader.take(_PIECE.size))
            pieces.append((offset, reader.take(size)))
        outputs = {
            name: reader.array((number, *output_shape(program, name)), output_type(program, name))
            for name in program.outputs
        }
        yield Run(images, tuple(pieces), outputs)


async def check(driver: Driver, program: Program, runs: list[Run]) -> int:
    """Run them on the engine of a driver; how many elements were compared.

    Raises VerificationError for the first that differs, and what `Driver.load` and `run_batch` raise.
    """
    await driver.load(program)
    compared = 0
    for number, run in enumerate(runs):
        given = together(run.images)
        for (offset, data), stored in zip(program.packed(given), run.pieces, strict=True):
            if (offset, data) != stored:
                raise VerificationError(f"run {number}: other bytes of the input at byte {offset} of the window")
        await driver.run_batch(given)
        found = await driver.read_outputs()
        for name, expected in run.outputs.items():
            _compare(number, name, found[name][: len(expected)], expected)
            compared += expected.size
    return compared


def _compare(number: int, name: str, found: np.ndarray, expected: np.ndarray) -> None:
    wrong = np.argwhere(found != expected)
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        raise VerificationError(
            f"run {number}, output {name}: image, channel, row, column {at}: expected {expected[at]}, got {found[at]}; "
            f"{len(wrong)} of {expected.size} differ"
        )
