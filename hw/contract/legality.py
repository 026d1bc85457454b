"""Which instructions an engine can run: every rule that needs no data, asked of a whole program at once.

What passes here, executor, hazards and cycle model all run, and the gateware ends.  Two kinds of rules: what an
instruction says by itself, and what it needs of those before it, in the order of the program: tokens, a SETUP,
partial sums.  That tokens never lack and never overflow does not depend on timing: an instruction waits for what
earlier ones give, so that the first of those which are not done can always go on; and of the instructions that
were dispatched, a unit's queue holds at most `queue_depth` that have not taken their tokens yet.

Left to the executor, since it depends on data: shifts and biases, which are loaded; sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from hw.contract.config import INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.depthwise import meets, slides, tap_blocks
from hw.contract.isa import (
    HEADER,
    LAYOUTS,
    TOKEN_BITS,
    Buffer,
    IllegalInstruction,
    Mode,
    Opcode,
    PoolKind,
    Source,
    Target,
    Unit,
    columns,
)
from hw.contract.paired import modes, tap_pairs
from hw.contract.weights import FORMATS, known_formats, weight_format
from hw.contract.weights.listed import LONGEST_KERNEL, MOST_GROUPS, tag_beats

if TYPE_CHECKING:
    from hw.contract.program import Program

Rule = tuple[np.ndarray, Callable[[int], str]]
"""Which instructions break it, bool (n,), and what is to be said of the k-th."""


class Code:
    """The instructions of a program as columns, int64 (n,) each.

    header: the fields that all share.  of: by opcode, the fields of its instructions; their places in the program
    are in `places`.
    """

    def __init__(self, program: Program) -> None:
        size = program.instructions * INSTRUCTION_BYTES
        raw = np.frombuffer(program.image, np.uint8)[program.program_base :][:size].reshape(-1, INSTRUCTION_BYTES)
        shared = {field.name: LAYOUTS[Opcode.LOAD][field.name] for field in HEADER}
        self.header = SimpleNamespace(**columns(raw, shared))
        self.places = {opcode: np.flatnonzero(self.header.opcode == opcode) for opcode in Opcode}
        self.of = {
            opcode: SimpleNamespace(**columns(raw[places], LAYOUTS[opcode])) for opcode, places in self.places.items()
        }

    def stored_bytes(self, config: AcceleratorConfig) -> int:
        """Bytes that all STOREs write to memory."""
        i = self.of[Opcode.STORE]
        return int((i.planes * i.rows * i.words)[i.target == Target.MEMORY].sum()) * config.derived.word_bytes


def check(program: Program, code: Code) -> None:
    """Raise IllegalInstruction for the first instruction that breaks a rule, with its index, opcode and layer."""
    config, of = program.config, code.of
    everywhere = np.arange(program.instructions)
    rules = [
        (everywhere, _header(program, code)),
        (everywhere, _tokens(config, code)),
        (code.places[Opcode.LOAD], _load(config, program.memory_bytes, of[Opcode.LOAD])),
        (code.places[Opcode.SETUP], _setup(config, of[Opcode.SETUP])),
        (code.places[Opcode.CONV], _conv(config, of[Opcode.CONV], _setups(code))),
        (code.places[Opcode.POOL], _pool(config, of[Opcode.POOL])),
        (code.places[Opcode.STORE], _store(program, of[Opcode.STORE])),
    ]
    found = []
    for places, several in rules:
        for broken, says in several:
            if broken.any():
                k = int(broken.argmax())
                found.append((int(places[k]), k, says))
    if found:
        index, k, says = min(found, key=itemgetter(0))  # of several reasons the first
        raise IllegalInstruction(f"{program.describe(index)}: {says(k)}")


def _header(program: Program, code: Code) -> Iterator[Rule]:
    opcode, layer = code.header.opcode, code.header.layer
    yield ~np.isin(opcode, list(Opcode)), lambda k: f"no instruction has opcode {opcode[k]}"
    yield layer >= len(program.layers), lambda k: f"there is no layer {layer[k]}"


def _tokens(config: AcceleratorConfig, code: Code) -> Iterator[Rule]:
    header = code.header
    units = np.zeros(1 << LAYOUTS[Opcode.LOAD]["opcode"][0].bits, np.int64)
    for opcode in Opcode:
        units[opcode] = opcode.unit
    unit = units[header.opcode]
    yield (header.wait | header.signal) >> unit & 1 == 1, lambda _: "a unit has no tokens with itself"
    most = (1 << TOKEN_BITS) - 1 - config.queue_depth
    for giver in Unit:
        for taker in Unit:
            gives = (unit == giver) & (header.signal >> taker & 1 == 1)
            takes = (unit == taker) & (header.wait >> giver & 1 == 1)
            yield from _between(giver, taker, gives, takes, most)


def _between(giver: Unit, taker: Unit, gives: np.ndarray, takes: np.ndarray, most: int) -> Iterator[Rule]:
    pending = np.cumsum(gives.astype(np.int64) - takes)
    yield takes & (pending < 0), lambda _: f"waits for a token of {giver.name} that nothing before gives"
    yield (
        gives & (pending > most),
        lambda k: f"leaves {pending[k]} tokens of {giver.name} for {taker.name}; {most} are sure to fit",
    )


def _load(config: AcceleratorConfig, memory: int, i: SimpleNamespace) -> Iterator[Rule]:
    d = config.derived
    beat = d.beat_bytes
    residual = i.target == Buffer.RESIDUAL
    depths = np.array([d.activation_beats, config.weight_depth, d.residual_beats])[np.minimum(i.target, max(Buffer))]
    beats = i.beats * np.where(residual, 1, i.rows)  # rows of a residual go to a plane each
    end = i.address + (i.rows - 1) * i.pitch + i.beats * beat
    yield i.target > max(Buffer), lambda k: f"there is no buffer {i.target[k]}"
    yield (i.beats == 0) | (i.rows == 0), lambda _: "loads nothing"
    yield (i.address % beat != 0) | (i.pitch % beat != 0), lambda _: f"address or pitch is no multiple of {beat} bytes"
    yield residual & (i.rows > d.planes), lambda k: f"there is no residual plane {i.rows[k] - 1}"
    yield end > memory, lambda k: f"reads memory up to byte {end[k]}, and the window has {memory}"
    yield (
        beats > depths,
        lambda k: f"loads {beats[k]} beats, and the {_name(Buffer, i.target[k])} buffer has {depths[k]}",
    )


def _setup(config: AcceleratorConfig, i: SimpleNamespace) -> Iterator[Rule]:
    known, has = ([weights.number for weights in some] for some in (FORMATS, known_formats(config)))
    depthwise = [weights.number for weights in FORMATS if Mode.DEPTHWISE in weights.modes]
    yield (i.mode > max(Mode)) | (i.data_format != 0), lambda _: "uses a reserved mode or format"
    yield ~np.isin(i.weight_format, known), lambda k: f"no weight format has the number {i.weight_format[k]}"
    indexed = np.isin(i.weight_format, [weights.number for weights in FORMATS if weights.indexed])
    foreign = ~np.isin(i.weight_format, has)
    yield indexed & foreign, lambda _: "has weights that are indices, and the engine has no codebooks"
    shared = np.isin(i.weight_format, [weights.number for weights in FORMATS if weights.groups > 1])
    yield shared & foreign, lambda _: "has weights that share multipliers, and the engine's have one each"
    yield (
        foreign,
        lambda k: f"has {weight_format(i.weight_format[k]).name} weights, and the engine {config.weight_bits}-bit ones",
    )
    yield (
        (i.mode == Mode.DEPTHWISE) & ~np.isin(i.weight_format, depthwise) & ~shared,
        lambda _: "has weights that are indices in depthwise passes",
    )
    yield (i.mode == Mode.DEPTHWISE) & shared, lambda _: "has weights that share multipliers in depthwise passes"
    yield i.signal != 0, lambda _: "a SETUP gives no tokens"
    yield (i.kernel_rows == 0) | (i.kernel_columns == 0), lambda _: "has a kernel without taps"
    yield _clips(i)
    yield _too_wide(config, i)
    looks_up = (i.table | i.table_load) == 1
    yield looks_up & (not config.tables), lambda _: "uses a table, and the engine has none"
    yield (i.table == 1) & (np.cumsum(i.table_load) == 0), lambda _: "looks up in a table that nothing loaded"
    single = (i.mode == Mode.DEPTHWISE) & (i.kernel_rows == 1) & (i.kernel_columns == 1)
    yield (i.product == 1) & ~single, lambda _: "residuals multiply single taps of depthwise passes alone"
    paired = i.mode == Mode.PAIRED
    yield paired & (Mode.PAIRED not in modes(config)), lambda _: "pairs taps, and the engine has one input lane"
    yield paired & (i.dilation_columns != 1), lambda k: f"pairs taps that are {i.dilation_columns[k]} columns apart"
    beats = i.table_load * config.derived.table_beats
    yield from _fits(i, "weight", beats, config.weight_depth, "beats of a table")
    sliding = (i.mode == Mode.DEPTHWISE) & slides(i.kernel_rows, i.dilation_rows)
    yield sliding & (i.stride_rows == 0), lambda _: "depthwise output rows lie at least one input row apart"
    steps = (i.stride_rows * i.tap_row_step - i.row_step) % config.activation_depth
    yield (
        sliding & (steps != 0),
        lambda k: f"depthwise output rows {i.row_step[k]} words apart, not {i.stride_rows[k]} x {i.tap_row_step[k]}",
    )


def _clips(i: SimpleNamespace) -> Rule:
    return i.low > i.high, lambda k: f"clips to {i.low[k]} at least and {i.high[k]} at most"


def _too_wide(config: AcceleratorConfig, i: SimpleNamespace) -> Rule:
    none = config.data_bits == config.derived.wide_bits
    return (i.wide == 1) & none, lambda _: f"has wide results, and the engine's data have {config.data_bits} bits"


def _setups(code: Code) -> SimpleNamespace:
    """The fields of the SETUP that each CONV runs under; zeros where there is none."""
    which = np.searchsorted(code.places[Opcode.SETUP], code.places[Opcode.CONV]) - 1
    return SimpleNamespace(
        **{name: np.append(values, 0)[which] for name, values in vars(code.of[Opcode.SETUP]).items()}
    )


def _conv(config: AcceleratorConfig, i: SimpleNamespace, setup: SimpleNamespace) -> Iterator[Rule]:
    c = config
    pixels, depthwise = i.out_rows * i.out_columns, setup.mode == Mode.DEPTHWISE
    kernel = setup.kernel_rows, setup.kernel_columns
    blocks_of_taps = tap_blocks(*kernel, setup.dilation_rows, setup.dilation_columns)
    each = np.where(setup.mode == Mode.PAIRED, tap_pairs(*kernel), kernel[0] * kernel[1])
    every = i.input_groups * np.where(depthwise, blocks_of_taps, each)
    shared = np.isin(setup.weight_format, [weights.number for weights in FORMATS if weights.groups > 1])
    second = shared & (i.input_groups == 0)
    passes = np.where(i.blocks > 0, i.blocks, every)
    yield setup.opcode == 0, lambda _: "no SETUP came before"
    yield (
        (pixels == 0) | (pixels > c.partial_sum_depth),
        lambda k: f"a tile of {pixels[k]} pixels, and the engine takes 1 to {c.partial_sum_depth}",
    )
    yield (i.input_groups == 0) & ~shared, lambda _: "has no input group"
    yield from _listed(config, i, setup, every)
    indexed = np.isin(setup.weight_format, [weights.number for weights in FORMATS if weights.indexed])
    yield (i.codebook == 1) & ~indexed, lambda _: "loads a codebook for weights that are no indices"
    yield (
        indexed & (np.cumsum(i.codebook) == 0),
        lambda _: "has weights that are indices into a codebook that nothing loaded",
    )
    planes = c.derived.planes
    yield (
        depthwise & (i.input_groups > planes),
        lambda k: f"a depthwise CONV of {i.input_groups[k]} input groups, and a result has {planes}",
    )
    sliding = depthwise & slides(setup.kernel_rows, setup.dilation_rows)
    padded = meets(setup.kernel_rows, i.row_offset, i.out_rows, setup.stride_rows, i.in_rows)
    yield (
        (i.meet == 1) & ~(sliding & padded),
        lambda _: "columns of pixels meet, and not in rows of padding of a depthwise pass",
    )
    yield (i.last & i.to_pool & setup.wide) == 1, lambda _: "wide results do not go to the pool buffer"
    kept = _kept(config, i, pixels)
    yield (i.first == 0) & (kept != pixels), lambda k: f"continues a tile of {kept[k]} pixels with {pixels[k]}"
    beside = _beside(config, i, pixels, shared)
    yield (
        second & ((i.first & i.last) == 0),
        lambda _: "has no input group, and is not first and last of a second output group",
    )
    goes_on = shared & ((i.first == 0) | second)
    yield (
        goes_on & (beside != pixels),
        lambda k: f"goes on from the second sums of a tile of {beside[k]} pixels with {pixels[k]}",
    )
    words = np.where(i.group_step == 0, 1, i.input_groups) * i.in_rows * setup.in_columns
    yield from _fits(i, "activation", words, c.activation_depth, "input words")
    sizes = {(weights.number, mode): weights.block_beats(c, mode) for weights in FORMATS for mode in map(int, Mode)}
    fields = [range(1 << LAYOUTS[Opcode.SETUP][name][0].bits) for name in ("weight_format", "mode")]
    blocks = np.array([[sizes.get((number, mode), 0) for mode in fields[1]] for number in fields[0]])
    beats = passes * blocks[setup.weight_format, setup.mode] + (i.first | i.reload) * c.derived.parameter_beats
    beats = beats + np.where(i.blocks > 0, tag_beats(c, i.blocks), 0) + i.codebook * c.derived.codebook_beats
    yield from _fits(i, "weight", beats, c.weight_depth, "beats")
    yield (
        (setup.product == 1) & ((i.first & i.last & i.residual) == 0),
        lambda _: "residuals multiply, and are not read, or the sums are another's, too",
    )
    residuals = np.where(setup.broadcast == 1, 1, pixels)
    yield from _fits(i, "residual", np.where(i.first & i.residual, residuals, 0), c.residual_depth, "pixels")
    results = np.where(i.last & i.to_output, _result_words(c, pixels, setup.wide), 0)
    yield from _fits(i, "output", results, c.output_depth, "words")
    yield from _fits(i, "pool", np.where(i.last & i.to_pool, pixels, 0), c.pool_depth, "words")


def _kept(config: AcceleratorConfig, i: SimpleNamespace, pixels: np.ndarray) -> np.ndarray:
    """For each CONV, int64 (n,): the pixels of the tile whose sums are kept from its own first one on; 0 where that
    tile is not whole, or there is none.

    A CONV that is not the last of its tile leaves it there.  Every other one writes sums of its own in its passes, and
    hands none on.
    """
    if (i.first & i.last).all():
        return np.zeros_like(pixels)
    return _left(config, i, pixels, np.ones(len(pixels), bool), i.last == 0)


def _beside(config: AcceleratorConfig, i: SimpleNamespace, pixels: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """The same of the sums of second output groups.  shared: CONVs whose weights are those of two; all but the second
    one's leave sums there."""
    if not shared.any():
        return np.zeros_like(pixels)
    return _left(config, i, pixels, shared & (i.input_groups > 0), np.ones(len(pixels), bool))


def _left(
    config: AcceleratorConfig, i: SimpleNamespace, pixels: np.ndarray, writes: np.ndarray, leaves: np.ndarray
) -> np.ndarray:
    """For each CONV, int64 (n,): the pixels of the whole tile that the last one to write its sums has left there, or 0.

    writes, leaves: whether a CONV writes sums, and leaves those of a tile."""
    kept, depth = np.zeros_like(pixels), config.partial_sum_depth
    owner = np.zeros(depth, np.int64)  # of each sum 1 + the CONV that left it, 0 for none
    bases, sizes = (i.partial_base % depth).tolist(), np.minimum(pixels, depth).tolist()
    for k, (base, size) in enumerate(zip(bases, sizes, strict=True)):
        whose = int(owner[base])
        if whose and bases[whose - 1] == base and (owner == whose).sum() == sizes[whose - 1]:
            kept[k] = sizes[whose - 1]
        if writes[k]:
            end = base + size
            owner[base:end] = owner[: max(0, end - depth)] = k + 1 if leaves[k] else 0
    return kept


def _listed(config: AcceleratorConfig, i: SimpleNamespace, setup: SimpleNamespace, every: np.ndarray) -> Iterator[Rule]:
    """What a CONV that leaves weight blocks out must be.  every: blocks that it would have else."""
    listed = i.blocks > 0
    yield listed & (not config.skip_blocks), lambda _: "leaves weight blocks out, and the engine reads all"
    yield listed & (setup.mode != Mode.DENSE), lambda _: "leaves blocks of passes out that are not dense"
    yield i.blocks > every, lambda k: f"lists {i.blocks[k]} weight blocks of {every[k]}"
    far = (i.input_groups > MOST_GROUPS) | (np.maximum(setup.kernel_rows, setup.kernel_columns) > LONGEST_KERNEL)
    yield (
        listed & far,
        lambda _: f"lists weight blocks of more than {MOST_GROUPS} input groups, or {LONGEST_KERNEL} rows or columns",
    )
    apart = (setup.kernel_rows > 1) & (setup.dilation_rows != 1)
    apart |= (setup.kernel_columns > 1) & (setup.dilation_columns != 1)
    yield listed & apart, lambda _: "lists weight blocks of taps that are no neighbours"


def _fits(i: SimpleNamespace, buffer: str, size: np.ndarray, depth: int, what: str) -> Iterator[Rule]:
    yield size > depth, lambda k: f"takes {size[k]} {what} of the {buffer} buffer, which has {depth}"


def _result_words(config: AcceleratorConfig, pixels: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Words from first to last of some results; the high halves of wide ones begin in a beat of their own."""
    whole = config.derived.words_per_beat
    return np.where(wide == 1, -(-pixels // whole) * whole + pixels, pixels)


def _pool(config: AcceleratorConfig, i: SimpleNamespace) -> Iterator[Rule]:
    pixels = i.out_rows * i.out_columns
    most = config.derived.average_sum_bits
    yield (pixels == 0) | (i.kernel_rows == 0) | (i.kernel_columns == 0), lambda _: "pools nothing"
    yield _clips(i)
    yield _too_wide(config, i)
    outside = (
        (np.minimum(i.in_rows, i.in_columns) == 0)
        | (i.row_offset + i.kernel_rows <= 0)
        | (i.row_offset + (i.out_rows - 1) * i.stride_rows >= i.in_rows)
        | (i.column_offset + i.kernel_columns <= 0)
        | (i.column_offset + (i.out_columns - 1) * i.stride_columns >= i.in_columns)
    )
    yield outside, lambda _: "a window lies outside its input"
    yield from _fits(i, "pool", i.in_rows * i.in_columns, config.pool_depth, "words")
    yield from _fits(i, "pooled", _result_words(config, pixels, i.wide), config.pooled_depth, "words")
    # The bits of the product below 2**sum_bits mean nothing, and rounding needs one above them.
    bad = (i.kind == PoolKind.AVERAGE) & ((i.sum_bits > most) | (i.sum_bits >= i.shift))
    yield (
        bad,
        lambda k: (
            f"divides sums of {i.sum_bits[k]} bits with a shift by {i.shift[k]}; the engine has {most} "
            "bits, and the shift must be larger"
        ),
    )


def _store(program: Program, i: SimpleNamespace) -> Iterator[Rule]:
    config, memory = program.config, program.memory_bytes
    d = config.derived
    beat, word = d.beat_bytes, d.word_bytes
    words = i.words * i.rows
    yield i.target > max(Target), lambda k: f"there is no target {i.target[k]}"
    yield (i.planes == 0) | (i.planes > d.planes), lambda k: f"stores {i.planes[k]} planes, and a result has {d.planes}"
    yield words == 0, lambda _: "stores nothing"
    apart = (
        ((i.address - i.base * word) % beat != 0)
        | ((i.rows > 1) & ((i.row_pitch - i.source_pitch * word) % beat != 0))
        | ((i.planes > 1) & (i.plane_pitch % beat != 0))
    )
    yield apart, lambda _: "source and target do not agree modulo the beat"
    depths = np.where(i.source == Source.POOLED, config.pooled_depth, config.output_depth)
    yield (
        words > depths,
        lambda k: f"stores {words[k]} words, and the {_name(Source, i.source[k])} buffer has {depths[k]}",
    )
    end = i.address + (i.planes - 1) * i.plane_pitch + (i.rows - 1) * i.row_pitch + i.words * word
    to_memory = i.target == Target.MEMORY
    yield to_memory & (end > memory), lambda k: f"writes memory up to byte {end[k]}, and the window has {memory}"
    yield (
        to_memory & (i.address < len(program.image)),
        lambda _: "overwrites instructions or weights of the program",
    )
    for target, depth, planes in (
        (Target.ACTIVATION, config.activation_depth, i.planes),
        (Target.RESIDUAL, config.residual_depth, 1),
    ):
        written = np.where(i.target == target, words * planes, 0)
        yield from _fits(i, target.name.lower(), written, depth, "words")


def _name(kind: type[Buffer] | type[Source], number: int) -> str:
    return kind(int(number)).name.lower()
