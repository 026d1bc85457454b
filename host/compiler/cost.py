"""About how many cycles a tiling takes at a memory: what the choice between tilings is made by.

An estimate for ranking only; `sim.cycles` says how long a program takes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from host.compiler.cuts import Band, Strip
from host.compiler.geometry import Footprint
from host.compiler.problem import Problem, Span, needed
from host.compiler.tiling import Tiling
from hw.contract.layout import planes_of
from hw.contract.timing import (
    FRONT_LATENCY,
    REQUEST_LATENCY,
    TOKEN_LATENCY,
    compute_prepare,
    pass_cycles,
    pool_pixel_cycles,
)


@dataclass(frozen=True)
class Estimate:
    """What no sum of a layer's work says, and is near in one network and not in another.

    step: cycles that a CONV with its loads and stores is taken to cost beyond its work: few large tiles are preferred.
    waits: reading the first chunk of weights counts for every layer: those before it hide none of it.
    """

    step: int = 16
    waits: bool = False


ESTIMATES = Estimate(), Estimate(waits=True), Estimate(step=4), Estimate(step=40)
"""The usual one, and others that are the better ones for some networks, as the cycles of their programs say."""


def cost(problem: Problem, tiling: Tiling) -> tuple[int, int]:
    """(cycles, cycles of the read port) of a layer, by the usual estimate."""
    cycles, reads = costs(problem, tiling)
    return cycles[0], reads


def costs(problem: Problem, tiling: Tiling) -> tuple[tuple[int, ...], int]:
    """Cycles of a layer by each of the estimates, and those of the read port.

    What array, read port and write port have to do meanwhile is hidden behind the longest of it: over the whole layer,
    since loads run ahead; but where weights are read anew for each tile, over each tile, for no more of them than the
    buffer holds are read ahead.  A bus that both directions share has to do what both ports have.
    """
    every = problem.memory.beat_every
    inputs, fetch = _input_cycles(problem, tiling), every * problem.config.derived.instruction_beats
    streamed = zip(_streamed(problem, tiling), _instructions(problem, tiling), strict=True)
    stream = [every * beats + fetch * count for beats, count in streamed]
    written = _written(problem, tiling)
    ahead, behind = tiling.loads_ahead, tiling.stores_behind
    reads = [a + b for a, b in zip(inputs, stream, strict=True)] if ahead else stream
    work = [_compute(problem, tiling), reads, *([written] if behind else [])]
    if behind and problem.memory.shared:
        stored = _written(problem, tiling, chip=False)
        work.append([a + b for a, b in zip(reads, stored, strict=True)])
    if tiling.weights_once(problem):
        cycles = max(sum(tiles) for tiles in work)
    else:
        cycles = sum(max(tile) for tile in zip(*work, strict=True))
    pooling = _pooling(problem, tiling)
    cycles = max(cycles, pooling) if behind else cycles + sum(written) + pooling
    cycles += _starved(problem, tiling) + _uneven(problem, tiling) + (0 if ahead else sum(inputs))
    steps, exposed = _steps(problem, tiling), [_exposed(problem, tiling, waits) for waits in (False, True)]
    found = [cycles + exposed[estimate.waits] + estimate.step * steps for estimate in ESTIMATES]
    return tuple(found), sum(inputs) + sum(stream)


def _pixels(strip: Strip, band: Band) -> int:
    return strip.width * (band.rows[1] - band.rows[0])


def _tiles(tiling: Tiling) -> list[tuple[Strip, Band]]:
    return [(strip, band) for strip in tiling.strips for band in tiling.bands]


def _passes(problem: Problem, tiling: Tiling) -> list[int]:
    """Cycles of a pass over each tile."""
    config, weights, outputs = problem.config, problem.layer.weights, problem.outputs

    def find(positions: int) -> int:
        return pass_cycles(config, weights, positions, mode=outputs.mode, listed=outputs.listed)

    def one(positions: int) -> int:
        return problem.once(("pass", positions), lambda: find(positions))

    def all_() -> list[int]:
        return [one(problem.positions(band.rows, strip.width)) for strip, band in _tiles(tiling)]

    return problem.once(("passes", tiling.strips, tiling.bands), all_)


def _blocks(problem: Problem, tiling: Tiling) -> list[range]:
    return tiling.blocks(problem.outputs.count, problem.outputs.together)


def _reloaded(problem: Problem, tiling: Tiling) -> int:
    """Output groups whose parameters are read again with a tile's last chunk."""

    def find() -> int:
        blocks = (block for block in _blocks(problem, tiling) if tiling.reloads(problem, block))
        return sum(not problem.outputs.second(group) for block in blocks for group in block)

    return problem.once(("reloaded", tiling.block, problem.chip.by_channel), find)


def _convs(problem: Problem, tiling: Tiling) -> int:
    """CONV instructions of a tile, of all output groups."""

    def find() -> int:
        return sum(_group_convs(problem, tiling, group) for group in range(problem.outputs.count))

    return problem.once(("convs", tiling.chunk, tiling.stay), find)


def _group_convs(problem: Problem, tiling: Tiling, group: int) -> int:
    """Of an output group; of listed weight blocks those that have one."""
    outputs, inputs = problem.outputs, problem.outputs.ranges[group]
    if outputs.second(group):
        return 1
    if not outputs.listed:
        return tiling.chunk_count(inputs)
    return sum(outputs.passes_of(group, chunk) > 0 for chunk in tiling.chunks(inputs))


def _steps(problem: Problem, tiling: Tiling) -> int:
    """CONV instructions."""
    return tiling.tiles * _convs(problem, tiling)


def _compute(problem: Problem, tiling: Tiling) -> list[int]:
    """Of each tile the passes, and the gaps between CONVs whose last pass is too short to prepare the next one."""
    config, weights, mode, found = problem.config, problem.layer.weights, problem.outputs.mode, []
    count, convs = problem.outputs.count, _convs(problem, tiling)
    with_parameters = count + _reloaded(problem, tiling)
    passes, listed = problem.passes(tiling.chunk), problem.outputs.listed
    prepare = [compute_prepare(config, weights, first, mode, listed) for first in (True, False)]
    for one in _passes(problem, tiling):
        gaps = [max(0, FRONT_LATENCY + cycles - one) for cycles in prepare]
        taken = passes * one + with_parameters * gaps[0] + (convs - with_parameters) * gaps[1]
        found.append(taken + count * one * problem.wide(problem.layer.result))
    return found


def _starved(problem: Problem, tiling: Tiling) -> int:
    """What chunks of weights take beyond reading and computing, where too few of them fit the buffer.

    A chunk is read once the one whose room it takes is done: of k that fit, each takes at least a k-th of the
    time from the beginning of its reading to the end of its passes.
    """
    weights = problem.weight_beats(tiling.chunk)
    if weights <= problem.weight_depth:
        return 0
    config, memory = problem.config, problem.memory
    beats = problem.piece_beats(tiling.chunk)
    fitting, read = problem.weight_depth // beats, memory.beat_every * beats
    tiles = _passes(problem, tiling)
    repeats = tiling.weight_reads(problem)
    passes = tiling.chunk * problem.outputs.passes(0) * sum(tiles) // repeats
    if problem.outputs.listed:
        passes = problem.passes(tiling.chunk) * sum(tiles) // repeats * beats // weights
    prepare = compute_prepare(config, problem.layer.weights, False, problem.outputs.mode, problem.outputs.listed)
    turn = TOKEN_LATENCY + REQUEST_LATENCY + memory.latency + TOKEN_LATENCY + prepare
    idle = -(-(read + passes + turn) // fitting) - max(read, passes)
    return max(0, idle) * weights // beats * repeats


def _uneven(problem: Problem, tiling: Tiling) -> int:
    """What chunks of the input with listed weight blocks take beyond reading and computing.

    Some have many blocks and others few, so what is read while one is computed is too much here and too little there;
    and a chunk is read once those whose room it takes are done.  Counted over the tile with most of the input, one CONV
    after the other.
    """
    outputs = problem.outputs
    if not outputs.listed or tiling.reading != "chunk" or not tiling.loads_ahead:
        return 0
    tiles = zip(_tiles(tiling), _passes(problem, tiling), strict=True)
    (strip, band), one = max(tiles, key=lambda tile: _input_rows(problem, tile[0][1]))
    groups = [group for group in range(outputs.count) if not outputs.second(group)]
    convs = [(group, chunk) for group in groups for chunk in tiling.chunks(outputs.ranges[group])]
    convs = [one for one in convs if outputs.passes_of(*one)]
    room, weights = problem.activation_grains, sum(_streamed(problem, tiling)) // (len(convs) * tiling.tiles)

    def find() -> int:
        rows = needed(problem.window, 0, band.rows, problem.geometry.height)
        read = done = reads = computed = first = 0
        held = deque[tuple[int, int]]()  # chunks in the buffer: when each is done, and its grains
        for group, chunk in convs:
            count = chunk[1] - chunk[0]
            size = problem.geometry.band((0, count), rows, strip.inputs).size
            while held and sum(grains for _, grains in held) + size > room:
                read = max(read, held.popleft()[0] + TOKEN_LATENCY + REQUEST_LATENCY + problem.memory.latency)
            reading = _band_cycles(problem, count, strip, band.rows) + problem.memory.beat_every * weights
            computing = outputs.passes_of(group, chunk) * one
            reads, computed, read = reads + reading, computed + computing, read + reading
            first = first or read
            done = max(done, read) + computing
            held.append((done, size))
        return max(0, done - first - max(reads, computed))

    return tiling.tiles * problem.once(("uneven", strip, band, tiling.chunk, room, weights), find)


def _input_rows(problem: Problem, band: Band) -> int:
    first, last = needed(problem.window, 0, band.rows, problem.geometry.height)
    return last - first


def _streamed(problem: Problem, tiling: Tiling) -> list[int]:
    """Beats of weights and residual of each tile."""
    beats = problem.weight_beats(tiling.chunk)
    beats += _reloaded(problem, tiling) * problem.config.derived.parameter_beats
    weights = _shared(beats * tiling.weight_reads(problem), tiling.tiles)
    if problem.layer.residual is None or problem.chip.residual is not None:
        return weights
    tiles = [_beats(problem, 1)] * tiling.tiles if problem.layer.broadcast else _tile_beats(problem, tiling)
    residuals = [problem.stored_planes * beats for beats in tiles]
    return [a + b for a, b in zip(weights, residuals, strict=True)]


def _instructions(problem: Problem, tiling: Tiling) -> list[int]:
    """Instructions of each tile, but for the LOADs of its input beyond one for each time that it is read."""
    count, chunks, pooling = problem.outputs.count, _convs(problem, tiling), problem.layer.pooling
    weights = _shared(chunks * tiling.weight_reads(problem), tiling.tiles)
    reads = 0 if tiling.reading == "whole" or _is_there(problem, tiling) else _reads(problem, tiling)
    if problem.chip.inside:
        reads = len(_blocks(problem, tiling)) * (problem.range_groups - tiling.stay) // problem.config.derived.planes
    found = []
    residuals = problem.layer.residual is not None and problem.chip.residual is None
    stores = [
        len(problem.chip.copies(tensor)) + (tensor not in problem.chip.unstored) if tensor else 0
        for tensor in _results(problem)
    ]
    for (_, band), loads in zip(_tiles(tiling), weights, strict=True):
        stored = stores[0] + (1 + stores[1] if pooling is not None and band.pooled != (0, 0) else 0)
        found.append(chunks + loads + reads + count * (stored + residuals))
    return found


def _shared(whole: int, among: int) -> list[int]:
    """A number in equal parts, of which none is lost."""
    return [whole * (k + 1) // among - whole * k // among for k in range(among)]


def _is_there(problem: Problem, tiling: Tiling) -> bool:
    """Whether nothing is loaded of its input: it stays, or a layer that runs with it has loaded it."""
    return tiling.reading == "resident" or (tiling.reading == "band" and problem.chip.read_before)


def _load_cycles(problem: Problem, footprint: Footprint) -> int:
    """Of the beats, and for rows shorter than what latency lets pass between them, that time."""
    shortest = -(-problem.memory.latency // problem.config.read_outstanding)
    return sum(load.rows * max(problem.memory.beat_every * load.beats, shortest) for load in footprint.loads)


def _input_cycles(problem: Problem, tiling: Tiling) -> list[int]:
    """Of each tile what reading its input takes, for all output groups."""
    geometry = problem.geometry
    if _is_there(problem, tiling):
        return [0] * tiling.tiles
    if tiling.reading == "whole":
        all_ = _load_cycles(problem, geometry.slab((0, geometry.groups), (0, geometry.height * geometry.width)))
        return _shared(all_, tiling.tiles)
    groups, times = problem.range_groups if tiling.reading == "band" else tiling.chunk, _reads(problem, tiling)
    found = [times * cycles for cycles in _bands_cycles(problem, groups, tiling)]
    if tiling.stay:
        found = [a + b for a, b in zip(found, _bands_cycles(problem, tiling.stay, tiling), strict=True)]
    return found


def _bands_cycles(problem: Problem, groups: int, tiling: Tiling) -> list[int]:
    """Of each tile what reading so many groups of its input takes."""

    def once() -> list[int]:
        if not tiling.turns:
            return [_band_cycles(problem, groups, strip, band.rows) for strip, band in _tiles(tiling)]
        found, (strip,) = [0] * tiling.tiles, tiling.strips
        for number, (first, _) in enumerate(tiling.turns):  # with its first band
            found[first] = _band_cycles(problem, groups, strip, tiling.rows(number))
        return found

    return problem.once(("inputs", tiling.strips, tiling.bands, tiling.turns, groups), once)


def _band_cycles(problem: Problem, groups: int, strip: Strip, results: Span) -> int:
    """What reading what some rows of results need of so many groups takes."""
    rows = needed(problem.window, 0, results, problem.geometry.height)
    key = "band", groups, rows, strip.inputs
    return problem.once(key, lambda: _load_cycles(problem, problem.geometry.band((0, groups), rows, strip.inputs)))


def _tile_beats(problem: Problem, tiling: Tiling) -> list[int]:
    """Beats of a plane of each tile's results."""
    key = "beats", tiling.strips, tiling.bands
    return problem.once(key, lambda: [_beats(problem, _pixels(*tile)) for tile in _tiles(tiling)])


def _pooled_beats(problem: Problem, tiling: Tiling) -> list[int]:
    """Beats of a plane of each tile's pooled results."""

    def words(strip: Strip, band: Band) -> int:
        return (strip.pooled[1] - strip.pooled[0]) * (band.pooled[1] - band.pooled[0])

    key = "pooled", tiling.strips, tiling.bands
    return problem.once(key, lambda: [_beats(problem, words(*tile)) for tile in _tiles(tiling)])


def _beats(problem: Problem, words: int) -> int:
    d = problem.config.derived
    return -(-words // d.words_per_beat) * d.beats_per_word


def _reads(problem: Problem, tiling: Tiling) -> int:
    """How often parts of a tile's input are read, where it is not read as a whole, but for what stays."""
    ranges = problem.outputs.ranges
    if tiling.reading == "band":
        return len(set(ranges)) if tiling.band_once else len(_blocks(problem, tiling))
    return len(_blocks(problem, tiling)) * -(-(problem.range_groups - tiling.stay) // tiling.chunk)


def _written(problem: Problem, tiling: Tiling, chip: bool = True) -> list[int]:
    """Cycles that storing each tile takes: a beat to memory at its pace, one on the chip, if it counts, in a cycle."""
    pooling = problem.layer.pooling
    kept, pooled = (_store_cycles(problem, tensor, chip) for tensor in _results(problem))
    config, planes = problem.config, problem.stored_planes
    found = [0] * tiling.tiles
    if problem.layer.keep:
        each = kept * problem.layer.copies * planes_of(problem.layer.result.fmt, config) * planes
        found = [each * beats for beats in _tile_beats(problem, tiling)]
    if pooling is not None:
        each = pooled * planes_of(pooling.result.fmt, config) * planes
        more = (each * beats for beats in _pooled_beats(problem, tiling))
        found = [a + b for a, b in zip(found, more, strict=True)]
    if problem.chip.inside and chip:  # of one tile: what waited as results is copied for each block
        copied = len(_blocks(problem, tiling)) * (problem.range_groups - tiling.stay)
        found[0] += copied * _beats(problem, problem.geometry.height * problem.geometry.width)
    return found


def _results(problem: Problem) -> tuple[str, str]:
    """The tensors that results become: those of the convolution, and of the pooling behind it; "" for none."""
    layer = problem.layer
    kept = layer.written[0].name if layer.keep else ""
    return kept, "" if layer.pooling is None else layer.pooling.written.name


def _store_cycles(problem: Problem, tensor: str, chip: bool) -> int:
    """Cycles for each beat of a result, wherever it goes; on the chip, if that counts."""
    to_memory = 0 if tensor in problem.chip.unstored else problem.memory.beat_every
    return to_memory + chip * len(problem.chip.copies(tensor))


def _pooling(problem: Problem, tiling: Tiling) -> int:
    pooling = problem.layer.pooling
    if pooling is None:
        return 0
    taps = pooling.window.kernel[0] * pooling.window.kernel[1]
    each = pool_pixel_cycles(problem.config, taps, pooling.kind == "average", problem.wide(pooling.result))
    return problem.outputs.count * each * pooling.result.shape[1] * pooling.result.shape[2]


def _exposed(problem: Problem, tiling: Tiling, waits: bool) -> int:
    """Reading the first tile and writing the last one, which nothing else hides unless tiles are many.

    And the first chunk of weights, if the array waits for it: surely in a layer that uses each but once, where it takes
    as long to read as to compute, so that layers before hide it no more than they hide the others.
    """
    strip, rows = tiling.strips[0], tiling.rows(0) if tiling.turns else tiling.bands[0].rows
    groups = problem.range_groups if tiling.reading != "chunk" else tiling.stay or tiling.chunk
    every, head = problem.memory.beat_every, 0
    if not _is_there(problem, tiling):
        head = _band_cycles(problem, groups, strip, rows)
    once = _passes(problem, tiling)[0] <= problem.layer.weights.block_beats(problem.config, problem.outputs.mode)
    if waits or once:
        head += every * tiling.chunk * problem.block_beats
    tail = problem.config.derived.planes * _beats(problem, _pixels(tiling.strips[-1], tiling.bands[-1]))
    return (head + every * tail + 2 * problem.memory.latency) // min(len(tiling.bands), 4)
