"""The instruction set: fields, encoding, text.

Every instruction is 256 bits: a header that all share, then the fields of its opcode, packed upwards
from bit 0 in the order given here.  The gateware's decoders, the executor, the cycle model and
docs/instructions.md are built from the classes below: a class an opcode, its fields with their bits.

Tokens.  The four units run their own instructions in order and meet through twelve counting
semaphores, one for each ordered pair of units.  An instruction starts when, for each unit in its
`wait` mask, the semaphore (that unit -> this unit) is above zero, and takes one from each; when it
is done it adds one to the semaphore (this unit -> other) of each unit in its `signal` mask.

Addresses in memory are byte offsets from the memory window's base.  Addresses in a buffer wrap around
at its depth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np

from hw.contract.config import BUFFER_ADDRESS_BITS, INSTRUCTION_BYTES
from hw.contract.widths import BYTE_BITS, as_signed
from quant.base.errors import BadInput

TOKEN_BITS = 12
"""Width of a semaphore: the 2**TOKEN_BITS-th token pending between two units stops the engine.

It holds the tokens given minus those taken.  Of the instructions dispatched, at most `queue_depth` wait in a unit's
queue; so it never gets there if no prefix of the program gives more than 2**TOKEN_BITS - 1 - queue_depth tokens beyond
those that the same prefix takes.  (Tokens given later than they are taken never exceed that.)
"""


class Unit(IntEnum):
    """The units, numbered by their bit in wait and signal masks."""

    LOAD = 0
    COMPUTE = 1
    POOL = 2
    STORE = 3


class Opcode(IntEnum):
    """What an instruction does.  0 is illegal, so that blank memory stops the engine."""

    LOAD = 1
    SETUP = 2
    CONV = 3
    POOL = 4
    STORE = 5

    @property
    def unit(self) -> Unit:
        """The unit that runs it."""
        return _UNITS[self]


_UNITS = {
    Opcode.LOAD: Unit.LOAD,
    Opcode.SETUP: Unit.COMPUTE,
    Opcode.CONV: Unit.COMPUTE,
    Opcode.POOL: Unit.POOL,
    Opcode.STORE: Unit.STORE,
}


class Buffer(IntEnum):
    """Targets of LOAD."""

    ACTIVATION = 0
    WEIGHT = 1
    RESIDUAL = 2


class Source(IntEnum):
    """Sources of STORE."""

    OUTPUT = 0
    POOLED = 1


class Target(IntEnum):
    """Targets of STORE."""

    MEMORY = 0
    ACTIVATION = 1
    RESIDUAL = 2


class PoolKind(IntEnum):
    """What a POOL computes."""

    MAX = 0
    AVERAGE = 1


class Mode(IntEnum):
    """What a pass of a CONV multiplies."""

    DENSE = 0
    DEPTHWISE = 1
    PAIRED = 2


@dataclass(frozen=True)
class Field:
    """One field: name, width in bits, whether two's complement, meaning."""

    name: str
    bits: int
    signed: bool
    doc: str

    @property
    def low(self) -> int:
        """The smallest value it holds."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value it holds."""
        return (1 << (self.bits - self.signed)) - 1


def _bits(bits: int, signed: bool, doc: str) -> Any:
    """The declaration of a field: its value is 0 where none is given."""
    return dataclasses.field(default=0, metadata={"bits": bits, "signed": signed, "doc": doc})


def _unsigned(bits: int, doc: str) -> Any:
    return _bits(bits, False, doc)


def _signed(bits: int, doc: str) -> Any:
    return _bits(bits, True, doc)


def _address(doc: str) -> Any:
    """A place in a buffer, or a distance between two."""
    return _unsigned(BUFFER_ADDRESS_BITS, doc)


class IllegalInstruction(BadInput):
    """An instruction that no unit can run."""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction; its class is its opcode, its fields are integers, 0 where none is given.

    Here are the fields of the header that all share.
    """

    opcode: ClassVar[Opcode]

    wait: int = _unsigned(4, "other units to take a token from before the start, a bit each")
    signal: int = _unsigned(4, "other units to give a token to at the end, a bit each")
    layer: int = _unsigned(12, "index of the layer in the manifest; for reports and waveforms")

    def encode(self) -> bytes:
        """32 bytes, little-endian.  Raises IllegalInstruction for a value out of range."""
        word = 0
        for name, (field, offset) in LAYOUTS[self.opcode].items():
            value = int(getattr(self, name))
            if not field.low <= value <= field.high:
                raise IllegalInstruction(f"{self.opcode.name}.{name} = {value} is outside {field.low}..{field.high}")
            word |= (value & ((1 << field.bits) - 1)) << offset
        return word.to_bytes(INSTRUCTION_BYTES, "little")

    def __str__(self) -> str:
        def units(mask: int) -> str:
            return "+".join(u.name.lower() for u in Unit if mask >> u & 1) or "-"

        fields = " ".join(f"{field.name}={getattr(self, field.name)}" for field in FIELDS[self.opcode])
        return f"{self.opcode.name:5} layer={self.layer} wait={units(self.wait)} signal={units(self.signal)} {fields}"


@dataclass(frozen=True, kw_only=True)
class LoadInstruction(Instruction):
    """Row r (0 <= r < rows) reads `beats` beats at address + r * pitch into the target."""

    opcode = Opcode.LOAD

    target: int = _unsigned(2, "buffer written: 0 activation, 1 weight, 2 residual")
    destination: int = _address("beat address in the buffer of row 0")
    destination_pitch: int = _address("beats from row to row; residual: unused, row r goes to plane r at `destination`")
    address: int = _unsigned(32, "byte offset in memory of row 0, a multiple of the beat")
    beats: int = _unsigned(16, "beats in a row, at least 1")
    rows: int = _unsigned(16, "rows, at least 1; residual: at most M / N")
    pitch: int = _unsigned(32, "bytes from row to row in memory, a multiple of the beat")


@dataclass(frozen=True, kw_only=True)
class SetupInstruction(Instruction):
    """Applies to every CONV after it.  With table_load, the next instruction starts when the table is read."""

    opcode = Opcode.SETUP

    kernel_rows: int = _unsigned(8, "taps vertically, at least 1")
    kernel_columns: int = _unsigned(8, "taps horizontally, at least 1")
    stride_rows: int = _unsigned(5, "input rows from output row to output row")
    stride_columns: int = _unsigned(5, "input columns from output column to output column")
    dilation_rows: int = _unsigned(6, "input rows from tap to tap")
    dilation_columns: int = _unsigned(6, "input columns from tap to tap")
    row_step: int = _address("activation words from output row to output row (stride_rows * pitch)")
    tap_row_step: int = _address("activation words from tap row to tap row (dilation_rows * pitch)")
    in_columns: int = _unsigned(12, "columns present in the buffer; outside them is padding")
    pad_value: int = _unsigned(16, "what padding reads as: the lowest data_bits, of the sign of activations")
    input_signed: int = _unsigned(1, "activations are two's complement")
    residual_signed: int = _unsigned(1, "residuals are two's complement")
    wide: int = _unsigned(
        1,
        "results have 16 bits where data have 8: two words a pixel, low half, then high half; see CONV.output_base",
    )
    low: int = _signed(18, "results below it become it")
    high: int = _signed(18, "results above it become it")
    table: int = _unsigned(
        1, "results are entries of the table that was loaded last: the one at the lowest data_bits of what is clipped"
    )
    table_load: int = _unsigned(1, "load a table")
    table_base: int = _address("beat address of the table in the weight buffer")
    mode: int = _unsigned(4, "what passes multiply: 0 dense, 1 depthwise, 2 paired (see CONV); others are reserved")
    product: int = _unsigned(
        1, "in mode 1: residuals multiply, in the place of the first weight of the last row of taps, and are not added"
    )
    broadcast: int = _unsigned(1, "all pixels of a CONV have the residual of pixel 0")
    weight_format: int = _unsigned(
        4, "how the weights are stored: a weight format's number; in mode 1, and without codebooks, that of weight_bits"
    )
    data_format: int = _unsigned(4, "0: data_bits of the configuration; others are reserved")


@dataclass(frozen=True, kw_only=True)
class ConvInstruction(Instruction):
    """For each of input_groups x kernel_rows x kernel_columns, in that order, one pass over
    out_rows x out_columns pixels with the next weight block.  In mode 1 lane m of the results has weights for lane
    m % N of an input group, and a pass takes a block of taps at once: 3 columns of them where they are neighbours
    (dilation_columns 1), else 1, and 3 rows where the kernel has several and they are neighbours (dilation_rows 1),
    else 1.  A pass of 3 rows reads row after row of the input, tap_row_step words apart; then row_step is
    stride_rows * tap_row_step, and stride_rows at least 1.  In mode 2, of an engine of two input lanes at least, input
    groups have N / 2 channels, and dilation_columns is 1: a pass takes two taps that are neighbours in a row of the
    kernel, the first in the lower half of the block's input lanes, the second in the upper one.  With `blocks`, in
    mode 0, passes are made for the weight blocks that are listed, in their order, and the tags among them say for which
    taps (hw/contract/weights/listed.py); then taps of a kernel with several rows, or columns, are neighbours (dilation
    1).  Where weights are those of two output groups (hw/contract/weights/pairs.py), the sums of the first one are what
    this says, and those of the second one are kept beside them, from 0 on with `first`.  A CONV without input groups
    then adds these to bias and residual, in one pass that multiplies nothing: it is `first` and `last`, of the pixels
    of the CONV that left them, and has parameters but no weight blocks."""

    opcode = Opcode.CONV

    activation_base: int = _address("word address of input group 0 at (row_offset, column_offset)")
    group_step: int = _address("activation words from input group to input group")
    in_rows: int = _unsigned(12, "rows present in the buffer; outside them is padding")
    row_offset: int = _signed(12, "input row of output row 0, tap row 0; below 0 is padding")
    column_offset: int = _signed(12, "input column of output column 0, tap column 0; below 0 is padding")
    out_rows: int = _unsigned(12, "output rows, at least 1")
    out_columns: int = _unsigned(12, "output columns, at least 1; rows * columns <= partial_sum_depth")
    input_groups: int = _unsigned(
        12, "groups of N input channels in this instruction, at least 1; 0 where it is of a second output group"
    )
    weight_base: int = _address(
        "beat address of the parameter block (if first or reload), the codebook (if there is one), the weight blocks"
    )
    residual_base: int = _address("residual word of pixel 0; without SETUP.broadcast pixel p is at residual_base + p")
    output_base: int = _address(
        "output word of pixel 0; pixel p at + p; high halves roundup(pixels, words_per_beat) further"
    )
    pool_base: int = _address("pool buffer word of pixel 0; pixel p at + p")
    first: int = _unsigned(1, "start from the bias (load parameters, then weights); else from the partial sums kept")
    last: int = _unsigned(1, "requantize and write the results; else keep the partial sums")
    residual: int = _unsigned(1, "with first: add residual << residual_shift")
    to_output: int = _unsigned(1, "with last: write the output buffer")
    to_pool: int = _unsigned(1, "with last: write the pool buffer (not with wide)")
    meet: int = _unsigned(
        1,
        "passes of 3 rows, of at most 3 tap rows: the first and the last row that a column of pixels reads are "
        "padding, and the last one of a column is the first one of the next",
    )
    partial_base: int = _address("partial sum of pixel 0; pixel p has the one at + p")
    reload: int = _unsigned(
        1, "without first, too, load parameters, then weights: since the tile began, those of another one were loaded"
    )
    blocks: int = _unsigned(
        12, "0: a weight block for each pass; else so many, of the others left out, listed (in mode 0)"
    )
    codebook: int = _unsigned(
        1, "where weights are indices: load a codebook ahead of them, for this CONV and those after it"
    )

    @property
    def second(self) -> bool:
        """Whether it is of the second of two output groups that share weight blocks."""
        return self.input_groups == 0


@dataclass(frozen=True, kw_only=True)
class PoolInstruction(Instruction):
    """A maximum or average over a window of the pool buffer, for each of out_rows x out_columns pixels."""

    opcode = Opcode.POOL

    base: int = _address("pool buffer word at (row_offset, column_offset)")
    row_step: int = _address("words from output row to output row (stride_rows * pitch)")
    tap_row_step: int = _address("words from tap row to tap row (the pitch)")
    in_rows: int = _unsigned(12, "rows present; outside them a tap is skipped")
    in_columns: int = _unsigned(12, "columns present; outside them a tap is skipped")
    row_offset: int = _signed(8, "input row of output row 0, tap row 0")
    column_offset: int = _signed(8, "input column of output column 0, tap column 0")
    out_rows: int = _unsigned(12, "output rows, at least 1")
    out_columns: int = _unsigned(12, "output columns, at least 1")
    kernel_rows: int = _unsigned(7, "taps vertically, at least 1")
    kernel_columns: int = _unsigned(7, "taps horizontally, at least 1")
    stride_rows: int = _unsigned(4, "input rows from output row to output row")
    stride_columns: int = _unsigned(4, "input columns from output column to output column")
    kind: int = _unsigned(1, "0: maximum, 1: average")
    input_signed: int = _unsigned(1, "pool buffer words are two's complement")
    wide: int = _unsigned(1, "results have 16 bits where data have 8, as in SETUP")
    output_base: int = _address("pooled word of pixel 0; pixel p at + p; high halves as in CONV.output_base")
    multiplier: int = _unsigned(32, "average: reciprocal (quant.ir.fixedpoint.Reciprocal)")
    shift: int = _unsigned(6, "average: right shift of |sum| * multiplier")
    sum_bits: int = _unsigned(5, "average: width of |sum|, which sets the band that counts as a tie")
    low: int = _signed(18, "results below it become it")
    high: int = _signed(18, "results above it become it")


@dataclass(frozen=True, kw_only=True)
class StoreInstruction(Instruction):
    """Plane g, row r: `words` words from the source at base + r * source_pitch, lanes [g * N, (g + 1) * N),
    to address + g * plane_pitch + r * row_pitch of the target; in the residual buffer to plane g.  Every row of every
    plane begins at the same place in a beat of its buffer and of the target.  A buffer on the chip has one write port:
    no LOAD of it may run meanwhile."""

    opcode = Opcode.STORE

    source: int = _unsigned(1, "buffer read: 0 output, 1 pooled")
    target: int = _unsigned(2, "written: 0 memory, 1 activation buffer, 2 residual buffer")
    base: int = _address("word address of row 0")
    source_pitch: int = _address("words from row to row")
    address: int = _unsigned(32, "byte offset in the target of plane 0, row 0; a buffer wraps around")
    words: int = _unsigned(16, "words in a row, at least 1")
    rows: int = _unsigned(12, "rows, at least 1")
    row_pitch: int = _unsigned(32, "bytes from row to row in the target")
    planes: int = _unsigned(8, "groups of N channels, 1 to M / N")
    plane_pitch: int = _unsigned(32, "bytes from plane to plane in the target")


INSTRUCTIONS: dict[Opcode, type[Instruction]] = {
    kind.opcode: kind
    for kind in (LoadInstruction, SetupInstruction, ConvInstruction, PoolInstruction, StoreInstruction)
}


def _fields(kind: type[Instruction]) -> tuple[Field, ...]:
    return tuple(Field(name=f.name, **f.metadata) for f in dataclasses.fields(kind))


HEADER = (Field("opcode", 4, False, "what to do"), *_fields(Instruction))
FIELDS = {opcode: _fields(kind)[len(HEADER) - 1 :] for opcode, kind in INSTRUCTIONS.items()}
"""The fields of each opcode behind the header."""


def layout(opcode: Opcode) -> dict[str, tuple[Field, int]]:
    """Field and bit offset by name, header included."""
    result, offset = {}, 0
    for field in HEADER + FIELDS[opcode]:
        result[field.name] = (field, offset)
        offset += field.bits
    if offset > BYTE_BITS * INSTRUCTION_BYTES:
        raise AssertionError(f"{opcode.name} takes {offset} bits")
    return result


LAYOUTS = {opcode: layout(opcode) for opcode in Opcode}


def decode(data: bytes) -> Instruction:
    """The instruction of 32 bytes.  Raises IllegalInstruction for an unknown opcode or a wrong length."""
    if len(data) != INSTRUCTION_BYTES:
        raise IllegalInstruction(f"an instruction has {INSTRUCTION_BYTES} bytes, not {len(data)}")
    word = int.from_bytes(data, "little")
    try:
        opcode = Opcode(word & 15)
    except ValueError:
        raise IllegalInstruction(f"no instruction has opcode {word & 15}") from None
    values = {}
    for name, (field, offset) in LAYOUTS[opcode].items():
        if name != "opcode":
            value = word >> offset & ((1 << field.bits) - 1)
            values[name] = value - (1 << field.bits) if field.signed and value > field.high else value
    return INSTRUCTIONS[opcode](**values)


def columns(code: np.ndarray, fields: Mapping[str, tuple[Field, int]]) -> dict[str, np.ndarray]:
    """Fields of many instructions at once: uint8 (n, INSTRUCTION_BYTES) to int64 (n,) by name.

    fields: field and bit offset by name, those of `LAYOUTS`.
    """
    words = np.ascontiguousarray(code).view("<u8")
    bits, found = 8 * words.itemsize, {}
    for name, (field, offset) in fields.items():
        word, low = divmod(offset, bits)
        value = words[:, word] >> np.uint64(low)
        if low + field.bits > bits:
            value |= words[:, word + 1] << np.uint64(bits - low)
        value = (value & np.uint64((1 << field.bits) - 1)).astype(np.int64)
        found[name] = as_signed(value, field.bits) if field.signed else value
    return found
