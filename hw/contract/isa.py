"""The instruction set: fields, encoding, text.

Every instruction is 256 bits: a header that all share, then the fields of its opcode, packed upwards
from bit 0 in the order given here.  The gateware's decoders, the executor, the cycle model and
docs/instructions.md are built from these tables.

Tokens.  The four units run their own instructions in order and meet through twelve counting
semaphores, one for each ordered pair of units.  An instruction starts when, for each unit in its
`wait` mask, the semaphore (that unit -> this unit) is above zero, and takes one from each; when it
is done it adds one to the semaphore (this unit -> other) of each unit in its `signal` mask.

Addresses in memory are byte offsets from the memory window's base.  Addresses in a buffer wrap around
at its depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hw.contract.config import INSTRUCTION_BYTES
from quant.base.errors import BadInput


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


class PoolKind(IntEnum):
    """What a POOL computes."""

    MAX = 0
    AVERAGE = 1


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


def _u(name: str, bits: int, doc: str) -> Field:
    return Field(name, bits, False, doc)


def _s(name: str, bits: int, doc: str) -> Field:
    return Field(name, bits, True, doc)


HEADER = (
    _u("opcode", 4, "what to do"),
    _u("wait", 4, "units to take a token from before the start, a bit each"),
    _u("signal", 4, "units to give a token to at the end, a bit each"),
    _u("layer", 12, "index of the layer in the manifest; for reports and waveforms"),
)

FIELDS: dict[Opcode, tuple[Field, ...]] = {
    # Row r (0 <= r < rows) reads `beats` beats at address + r * pitch into the target.
    Opcode.LOAD: (
        _u("target", 2, "buffer written: 0 activation, 1 weight, 2 residual"),
        _u("destination", 16, "beat address in the buffer of row 0"),
        _u("destination_pitch", 16, "beats from row to row; residual: unused, row r goes to plane r at `destination`"),
        _u("address", 32, "byte offset in memory of row 0, a multiple of the beat"),
        _u("beats", 16, "beats in a row, at least 1"),
        _u("rows", 16, "rows, at least 1"),
        _u("pitch", 32, "bytes from row to row in memory, a multiple of the beat"),
    ),
    # Applies to every CONV after it.
    Opcode.SETUP: (
        _u("kernel_rows", 8, "taps vertically, at least 1"),
        _u("kernel_columns", 8, "taps horizontally, at least 1"),
        _u("stride_rows", 5, "input rows from output row to output row"),
        _u("stride_columns", 5, "input columns from output column to output column"),
        _u("dilation_rows", 6, "input rows from tap to tap"),
        _u("dilation_columns", 6, "input columns from tap to tap"),
        _u("row_step", 16, "activation words from output row to output row (stride_rows * pitch)"),
        _u("tap_row_step", 16, "activation words from tap row to tap row (dilation_rows * pitch)"),
        _u("in_columns", 12, "columns present in the buffer; outside them is padding"),
        _u("pad_value", 16, "what padding reads as, a lane value"),
        _u("input_signed", 1, "activations are two's complement"),
        _u("residual_signed", 1, "residuals are two's complement"),
        _u("wide", 1, "results are 16 bits: two words a pixel, low bytes, then high bytes; see CONV.output_base"),
        _s("low", 18, "results below it become it"),
        _s("high", 18, "results above it become it"),
        _u("mode", 4, "0: dense; others are reserved"),
        _u("weight_format", 4, "0: 8-bit two's complement; others are reserved"),
        _u("data_format", 4, "0: 8 bits; others are reserved"),
    ),
    # For each of input_groups x kernel_rows x kernel_columns, in that order, one pass over
    # out_rows x out_columns pixels with the next weight block.
    Opcode.CONV: (
        _u("activation_base", 16, "word address of input group 0 at (row_offset, column_offset)"),
        _u("group_step", 16, "activation words from input group to input group"),
        _u("in_rows", 12, "rows present in the buffer; outside them is padding"),
        _s("row_offset", 12, "input row of output row 0, tap row 0; below 0 is padding"),
        _s("column_offset", 12, "input column of output column 0, tap column 0; below 0 is padding"),
        _u("out_rows", 12, "output rows, at least 1"),
        _u("out_columns", 12, "output columns, at least 1; rows * columns <= partial_sum_depth"),
        _u("input_groups", 12, "groups of N input channels in this instruction, at least 1"),
        _u("weight_base", 16, "beat address of the parameter block (if first) and the weight blocks after it"),
        _u("residual_base", 16, "residual word of pixel 0; pixel p is at residual_base + p"),
        _u(
            "output_base",
            16,
            "output word of pixel 0; pixel p at + p; high bytes roundup(pixels, words_per_beat) further",
        ),
        _u("pool_base", 16, "pool buffer word of pixel 0; pixel p at + p"),
        _u("first", 1, "start from the bias (load parameters, then weights); else from the partial sums kept"),
        _u("last", 1, "requantize and write the results; else keep the partial sums"),
        _u("residual", 1, "with first: add residual << residual_shift"),
        _u("to_output", 1, "with last: write the output buffer"),
        _u("to_pool", 1, "with last: write the pool buffer (not with wide)"),
    ),
    Opcode.POOL: (
        _u("base", 16, "pool buffer word at (row_offset, column_offset)"),
        _u("row_step", 16, "words from output row to output row (stride_rows * pitch)"),
        _u("tap_row_step", 16, "words from tap row to tap row (the pitch)"),
        _u("in_rows", 12, "rows present; outside them a tap is skipped"),
        _u("in_columns", 12, "columns present; outside them a tap is skipped"),
        _s("row_offset", 8, "input row of output row 0, tap row 0"),
        _s("column_offset", 8, "input column of output column 0, tap column 0"),
        _u("out_rows", 12, "output rows, at least 1"),
        _u("out_columns", 12, "output columns, at least 1"),
        _u("kernel_rows", 7, "taps vertically, at least 1"),
        _u("kernel_columns", 7, "taps horizontally, at least 1"),
        _u("stride_rows", 4, "input rows from output row to output row"),
        _u("stride_columns", 4, "input columns from output column to output column"),
        _u("kind", 1, "0: maximum, 1: average"),
        _u("input_signed", 1, "pool buffer words are two's complement"),
        _u("wide", 1, "results are 16 bits, as in SETUP"),
        _u("output_base", 16, "pooled word of pixel 0; pixel p at + p; high bytes as in CONV.output_base"),
        _u("multiplier", 32, "average: reciprocal (quant.ir.fixedpoint.Reciprocal)"),
        _u("shift", 6, "average: right shift of |sum| * multiplier"),
        _u("sum_bits", 5, "average: width of |sum|, which sets the band that counts as a tie"),
        _s("low", 18, "results below it become it"),
        _s("high", 18, "results above it become it"),
    ),
    # Plane g, row r: `words` words from the source at base + r * source_pitch, lanes [g * N, (g + 1) * N),
    # to address + g * plane_pitch + r * row_pitch.  base and address agree modulo the beat.
    Opcode.STORE: (
        _u("source", 1, "buffer read: 0 output, 1 pooled"),
        _u("base", 16, "word address of row 0"),
        _u("source_pitch", 16, "words from row to row"),
        _u("address", 32, "byte offset in memory of plane 0, row 0"),
        _u("words", 16, "words in a row, at least 1"),
        _u("rows", 12, "rows, at least 1"),
        _u("row_pitch", 32, "bytes from row to row in memory"),
        _u("planes", 8, "groups of N channels, 1 to M / N"),
        _u("plane_pitch", 32, "bytes from plane to plane in memory"),
    ),
}


def layout(opcode: Opcode) -> dict[str, tuple[Field, int]]:
    """Field and bit offset by name, header included."""
    result, offset = {}, 0
    for field in HEADER + FIELDS[opcode]:
        result[field.name] = (field, offset)
        offset += field.bits
    if offset > 8 * INSTRUCTION_BYTES:
        raise AssertionError(f"{opcode.name} takes {offset} bits")
    return result


LAYOUTS = {opcode: layout(opcode) for opcode in Opcode}


class IllegalInstruction(BadInput):
    """An instruction that no unit can run."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its opcode and the values of its fields by name (wait, signal, layer included)."""

    opcode: Opcode
    values: dict[str, int]

    def __getattr__(self, name: str) -> int:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def encode(self) -> bytes:
        """32 bytes, little-endian.  Raises IllegalInstruction for a missing field or a value out of range."""
        word = 0
        for name, (field, offset) in LAYOUTS[self.opcode].items():
            value = int(self.opcode) if name == "opcode" else self.values.get(name)
            if value is None:
                raise IllegalInstruction(f"{self.opcode.name} lacks {name}")
            if not field.low <= value <= field.high:
                raise IllegalInstruction(f"{self.opcode.name}.{name} = {value} is outside {field.low}..{field.high}")
            word |= (value & ((1 << field.bits) - 1)) << offset
        return word.to_bytes(INSTRUCTION_BYTES, "little")

    def __str__(self) -> str:
        def units(mask: int) -> str:
            return "+".join(u.name.lower() for u in Unit if mask >> u & 1) or "-"

        fields = " ".join(f"{k}={v}" for k, v in self.values.items() if k not in ("wait", "signal", "layer", "opcode"))
        return f"{self.opcode.name:5} layer={self.layer} wait={units(self.wait)} signal={units(self.signal)} {fields}"


def instruction(opcode: Opcode, *, wait: int = 0, signal: int = 0, layer: int = 0, **values: int) -> Instruction:
    """An instruction from keyword arguments; fields not named are 0.  Raises IllegalInstruction."""
    known = LAYOUTS[opcode]
    if unknown := sorted(set(values) - set(known)):
        raise IllegalInstruction(f"{opcode.name} has no field {unknown[0]}")
    filled = {name: 0 for name in known if name != "opcode"}
    filled.update(values, wait=wait, signal=signal, layer=layer)
    return Instruction(opcode, filled)


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
    return Instruction(opcode, values)
