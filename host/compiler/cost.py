"""About how many cycles a tiling takes at a memory: what the choice between tilings is made by.

An estimate for ranking only; `sim.cycles` says how long a program takes.
"""

from __future__ import annotations

from host.compiler.cuts import Band, Strip
from host.compiler.geometry import Footprint
from host.compiler.problem import Problem, needed
from host.compiler.tiling import Tiling
from hw.contract.timing import SWAP_DELAY, compute_prepare, pass_cycles, pool_pixel_cycles

STEP = 16
"""Cycles that a CONV with its loads and stores is taken to cost beyond its work: few large tiles are preferred."""


def cost(problem: Problem, tiling: Tiling) -> tuple[int, int]:
    """(cycles, cycles of the read port) of a layer."""
    every = problem.memory.beat_every
    beats = _weight_beats(problem, tiling) + _residual_beats(problem, tiling)
    read = every * beats + _input_cycles(problem, tiling)
    work = [_compute(problem, tiling), read, every * _written(problem, tiling), _pooling(problem, tiling)]
    cycles = max(work) if tiling.double else sum(work)
    cycles += _starved(problem, tiling)
    return cycles + _exposed(problem, tiling) + STEP * _steps(problem, tiling), read


def _pixels(strip: Strip, band: Band) -> int:
    return strip.width * (band.rows[1] - band.rows[0])


def _tiles(tiling: Tiling) -> list[tuple[Strip, Band]]:
    return [(strip, band) for strip in tiling.strips for band in tiling.bands]


def _steps(problem: Problem, tiling: Tiling) -> int:
    """CONV instructions."""
    return tiling.tiles * sum(-(-(last - first) // tiling.chunk) for first, last in problem.outputs.ranges)


def _compute(problem: Problem, tiling: Tiling) -> int:
    """Passes, and the gaps between CONVs whose last pass is too short to prepare the next one."""
    config, weights, mode, total = problem.config, problem.layer.weights, problem.outputs.mode, 0
    counts = [-(-(last - first) // tiling.chunk) for first, last in problem.outputs.ranges]
    passes = sum(last - first for first, last in problem.outputs.ranges) * problem.outputs.taps
    for strip, band in _tiles(tiling):
        one = pass_cycles(config, weights, _pixels(strip, band), mode=mode)
        prepare = (compute_prepare(config, weights, first, mode) for first in (True, False))
        gaps = [max(0, SWAP_DELAY + 1 + cycles - one) for cycles in prepare]
        total += passes * one + len(counts) * gaps[0] + (sum(counts) - len(counts)) * gaps[1]
        if problem.wide(problem.layer.result):
            total += len(counts) * one
    return total


def _starved(problem: Problem, tiling: Tiling) -> int:
    """What chunks of weights take beyond reading and computing, where too few of them fit the buffer.

    A chunk is read once the one whose room it takes is done: of k that fit, each takes at least a k-th of the
    time from the beginning of its reading to the end of its passes.
    """
    if problem.weight_beats <= problem.config.weight_depth:
        return 0
    config, memory = problem.config, problem.memory
    beats = tiling.chunk * problem.block_beats + config.derived.parameter_beats
    fitting, read = config.weight_depth // beats, memory.beat_every * beats
    weights, mode = problem.layer.weights, problem.outputs.mode
    tiles = [pass_cycles(config, weights, _pixels(*tile), mode=mode) for tile in _tiles(tiling)]
    repeats = 1 if tiling.weights_once(problem) else len(tiles)
    passes = tiling.chunk * problem.outputs.taps * sum(tiles) // repeats
    idle = -(-(read + passes + memory.latency) // fitting) - max(read, passes)
    return max(0, idle) * problem.weight_beats // beats * repeats


def _weight_beats(problem: Problem, tiling: Tiling) -> int:
    return problem.weight_beats * (1 if tiling.weights_once(problem) else tiling.tiles)


def _load_cycles(problem: Problem, footprint: Footprint) -> int:
    """Of the beats, and for rows shorter than what latency lets pass between them, that time."""
    shortest = -(-problem.memory.latency // problem.config.read_outstanding)
    return sum(load.rows * max(problem.memory.beat_every * load.beats, shortest) for load in footprint.loads)


def _input_cycles(problem: Problem, tiling: Tiling) -> int:
    geometry, outputs = problem.geometry, problem.outputs
    if tiling.reading == "whole":
        return _load_cycles(problem, geometry.slab((0, geometry.groups), (0, geometry.height * geometry.width)))
    groups = problem.range_groups if tiling.reading == "band" else tiling.chunk
    times = len(outputs.ranges)
    if tiling.reading == "band" and tiling.band_once:
        times = len(set(outputs.ranges))
    if tiling.reading == "chunk":
        times *= -(-problem.range_groups // tiling.chunk)
    total = 0
    for strip, band in _tiles(tiling):
        rows = needed(problem.window, 0, band.rows, geometry.height)
        total += times * _load_cycles(problem, geometry.band((0, groups), rows, strip.inputs))
    return total


def _residual_beats(problem: Problem, tiling: Tiling) -> int:
    if problem.layer.residual is None:
        return 0
    return problem.stored_planes * sum(_beats(problem, _pixels(*tile)) for tile in _tiles(tiling))


def _beats(problem: Problem, words: int) -> int:
    d = problem.config.derived
    return -(-words // d.words_per_beat) * d.beats_per_word


def _written(problem: Problem, tiling: Tiling) -> int:
    total, pooling = 0, problem.layer.pooling
    for strip, band in _tiles(tiling):
        if problem.layer.keep:
            bits = problem.layer.copies * problem.layer.result.fmt.bits
            total += _beats(problem, _pixels(strip, band)) * bits // problem.config.data_bits
        if pooling is not None:
            words = (strip.pooled[1] - strip.pooled[0]) * (band.pooled[1] - band.pooled[0])
            total += _beats(problem, words) * pooling.result.fmt.bits // problem.config.data_bits
    return total * problem.stored_planes


def _pooling(problem: Problem, tiling: Tiling) -> int:
    pooling = problem.layer.pooling
    if pooling is None:
        return 0
    taps = pooling.window.kernel[0] * pooling.window.kernel[1]
    each = pool_pixel_cycles(problem.config, taps, pooling.kind == "average", problem.wide(pooling.result))
    return problem.outputs.count * each * pooling.result.shape[1] * pooling.result.shape[2]


def _exposed(problem: Problem, tiling: Tiling) -> int:
    """Reading the first tile and writing the last one, which nothing else hides unless tiles are many."""
    strip, band = tiling.strips[0], tiling.bands[0]
    rows = needed(problem.window, 0, band.rows, problem.geometry.height)
    groups = problem.range_groups if tiling.reading != "chunk" else tiling.chunk
    head = _load_cycles(problem, problem.geometry.band((0, groups), rows, strip.inputs))
    tail = problem.config.derived.planes * _beats(problem, _pixels(tiling.strips[-1], tiling.bands[-1]))
    return (head + problem.memory.beat_every * tail + 2 * problem.memory.latency) // min(len(tiling.bands), 4)
