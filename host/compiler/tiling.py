"""How a layer is run: tiles (`cuts`), chunks of input groups, the order of the loops, and what is read how often.

All ways that fit the buffers are tried; the one with the fewest cycles, as `cost` estimates them, wins.  No rule picks
one beforehand, because each of them is best somewhere: early layers have large maps and few weights (all of these
stay on the chip), late ones the reverse (the map stays, weights pass by), and fully connected ones have no map at all.

The partial sums of a tile stay in the accumulator's memory from its first input group to its last, whatever the order,
so that no partial sum ever moves.  Where input groups come a chunk at a time, those of several output groups are kept
at once, as many as it holds: such a *block* reads each chunk once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import Literal, NamedTuple

from host.compiler.chunks import chunk_sizes, chunks_of_blocks, chunks_that_stay, half_of_buffer, least_groups
from host.compiler.cuts import Band, Strip, bands_of, lone_bands_of, strips_of, turns_of
from host.compiler.errors import CannotCompile
from host.compiler.limits import highest
from host.compiler.problem import Problem, Span, needed
from hw.contract.isa import Buffer, Mode, Opcode

LONGEST = highest(Opcode.CONV, "in_rows")
"""Rows or columns of a tile, of its input, or of what a pooling of it reads: what the fields of instructions hold."""
ENOUGH = 3
"""Heights of bands, of those that fit, that are tried on a map higher than any tile: it has bands by the hundred."""


@dataclass(frozen=True)
class Tiling:
    """One way to run a layer.

    chunk: input groups of one CONV.  order: which loop is outside, over tiles or over output groups.
    reading: the input is read once as a whole, or band by band, or a chunk of a band at a time, or is there already,
    but for what is behind `stay` where that is not 0.
    block: output groups, or pairs of them where these share passes, whose partial sums are kept at once.  stay: input
    groups of the first chunk, which is read once and stays to the layer's end; 0 where it is one like the others.
    turns: of a layer that runs in turn with others the bands of each turn, in which all output groups follow each
    other, and all bands of each; empty for any other layer.
    loads_ahead, stores_behind: the buffers in front of the array, those behind it, hold two tiles, so that one is
    loaded or stored while the other is computed.  Those that hold but one are ways, too: for a layer whose tile fills a
    buffer they are the only ones.
    """

    strips: tuple[Strip, ...]
    bands: tuple[Band, ...]
    chunk: int
    order: Literal["tiles", "groups"]
    reading: Literal["whole", "band", "chunk", "resident"]
    loads_ahead: bool
    stores_behind: bool
    block: int = 1
    stay: int = 0
    turns: tuple[Span, ...] = ()

    @property
    def tiles(self) -> int:
        """Tiles of one output group."""
        return len(self.strips) * len(self.bands)

    def weights_once(self, problem: Problem) -> bool:
        """Whether no weight is read twice: all stay in the buffer, or each output group's until its end."""
        return self.weight_reads(problem) == 1

    def weight_reads(self, problem: Problem) -> int:
        """How often each weight is read."""
        held = problem.weight_beats(self.chunk) <= problem.weight_depth and not problem.chip.again
        if held or (self.order == "groups" and self.chunk >= problem.range_groups):
            return 1
        return len(self.turns) or self.tiles

    def turn(self, number: int) -> tuple[Band, ...]:
        """The bands of a turn."""
        first, last = self.turns[number]
        return self.bands[first:last]

    def rows(self, number: int) -> Span:
        """Rows of results of a turn."""
        bands = self.turn(number)
        return bands[0].rows[0], bands[-1].rows[1]

    def chunks(self, groups: Span) -> list[Span]:
        """The input groups of each CONV of a tile that needs these."""
        start = groups[0] + self.stay
        found = [(groups[0], start)] if self.stay else []
        return found + [(first, min(first + self.chunk, groups[1])) for first in range(start, groups[1], self.chunk)]

    def chunk_count(self, groups: Span) -> int:
        """How many CONVs a tile has that needs these input groups."""
        return (self.stay > 0) - (groups[0] + self.stay - groups[1]) // self.chunk

    def blocks(self, groups: int, together: int = 1) -> list[range]:
        """The output groups of each block, of so many, of which `together` share passes."""
        size = self.block * together
        return [range(first, min(first + size, groups)) for first in range(0, groups, size)]

    def reloads(self, problem: Problem, block: range) -> bool:
        """Whether the output groups of a block read their parameters again with the last of several chunks: those of
        others, whose sums are under way beside theirs, came between."""
        return len(block) > problem.outputs.together or problem.chip.by_channel

    @property
    def band_once(self) -> bool:
        """Whether a band that is read stays until the last output group that needs it."""
        return self.order == "tiles" or self.tiles == 1


def ways(problem: Problem) -> Iterator[Tiling]:
    """Every tiling that fits, with as few strips as possible: more of them only read and compute more twice.

    Raises CannotCompile, naming buffer and missing amount, where not even the smallest tile fits.
    """
    _check_smallest(problem)
    pooling = problem.layer.pooling
    width = problem.results(1) if pooling is None else pooling.result.shape[2]
    found = False
    for strips in _strips(problem, width):
        for tiling in (_alike if problem.chip.band else _fitting)(problem, strips):
            found = True
            yield tiling
        if found:
            return
    if not problem.chip.band:
        bands = bands_of(problem, 1)
        _require(problem, [need for need, _ in _behind(problem, strips, bands)])
        if problem.chip.source is None:
            _require(problem, [_least_input(problem, strips, bands)])
    raise CannotCompile(problem.layer.name, "no tile fits the buffers", "take a configuration with larger buffers")


def _strips(problem: Problem, width: int) -> Iterator[tuple[Strip, ...]]:
    """All columns at once; then only those of the input that are read, if they are fewer; then more and more strips."""
    (strip,) = whole = strips_of(problem, width, width)
    yield whole
    if problem.chip.band:
        return
    read = needed(problem.window, 1, strip.columns, problem.geometry.width)
    if read != strip.inputs:
        yield (strip._replace(inputs=read),)
    for count in range(2, width + 1):
        yield strips_of(problem, width, -(-width // count))


def _check_smallest(problem: Problem) -> None:
    """Raise CannotCompile where one result, or one pooled result, of as few input groups as may be does not fit."""
    config, window, pooling = problem.config, problem.window, problem.layer.pooling
    d = config.derived
    span = [(k - 1) * s + 1 for k, s in zip(window.kernel, window.dilation, strict=True)]
    rows, columns = min(span[0], problem.geometry.height), min(span[1], problem.geometry.width)
    needs = [_Need("weight buffer", "beats", problem.piece_beats(least_groups(problem)), problem.weight_depth)]
    if problem.chip.source is None:
        words = rows * (columns + 2 * d.words_per_beat)
        needs.append(_Need("activation buffer", "words", words, problem.room(Buffer.ACTIVATION)))
    if pooling is not None:
        kernel = [min(k, s) for k, s in zip(pooling.window.kernel, problem.layer.result.shape[1:], strict=True)]
        needs.append(_Need("pool buffer", "words", kernel[0] * kernel[1], config.pool_depth))
        needs.append(_Need("partial-sum memory", "pixels", kernel[1], config.partial_sum_depth))
    _require(problem, needs)


class _Need(NamedTuple):
    """What a tile needs of a buffer."""

    buffer: str
    unit: str
    need: int
    have: int


def _require(problem: Problem, needs: Sequence[_Need]) -> None:
    """Raises CannotCompile for the first buffer that the smallest tile does not fit."""
    for buffer, unit, need, have in needs:
        if need > have:
            reason = f"its smallest tile needs {need} {unit} of the {buffer}, {need - have} more than it has"
            raise CannotCompile(problem.layer.name, reason, f"take a configuration with a larger {buffer}")


def _least_input(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...]) -> _Need:
    """What a tile needs of the activation buffer, of as few input groups as may be: depthwise all of them."""
    groups, unit = least_groups(problem), problem.config.derived.words_per_beat
    inputs = [needed(problem.window, 0, band.rows, problem.geometry.height) for band in bands]
    grains = max(_size(problem, groups, rows, strip.inputs) for strip in strips for rows in inputs)
    return _Need("activation buffer", "words", grains * unit, problem.activation_grains * unit)


def _fitting(problem: Problem, strips: tuple[Strip, ...]) -> Iterator[Tiling]:
    """Every tiling into these strips that fits: for each height of a band its readings.

    Heights are those of equal bands: any other gives as many bands as one of these, less equal ones.
    """
    width = max(strip.width for strip in strips)
    if max(width, *(strip.inputs[1] - strip.inputs[0] for strip in strips)) > LONGEST:
        return
    most = min(problem.results(0), problem.config.partial_sum_depth // width, LONGEST)
    spread, unit = problem.layer.spread, problem.config.derived.words_per_beat
    apart = spread is not None and (spread.pitch - problem.layer.result.shape[2]) % unit
    if apart or (len(strips) > 1 and (problem.layer.keep or problem.layer.residual_map)):
        most = min(most, 1)  # such rows start anywhere in a beat: each has a STORE or LOAD of its own
    fitting = 0
    for rows in _heights(problem.results(0), most):
        for bands in _bands(problem, rows):
            double = _results_fit(problem, strips, bands)
            if double is not None:
                yield from _readings(problem, strips, bands, double)
                fitting += 1
        if problem.results(0) > LONGEST and fitting >= ENOUGH:
            return


def _alike(problem: Problem, strips: tuple[Strip, ...]) -> Iterator[Tiling]:
    """Tilings whose turns are those of the layers that run with it: all output groups of a turn follow each other, and
    nothing but weights waits on the chip from turn to turn.  With bands as high as they can be."""
    longest = max(max(strip.width, strip.inputs[1] - strip.inputs[0]) for strip in strips)
    (strip, *_), tallest = strips, max(turn[0].rows[1] - turn[0].rows[0] for turn in _turns(problem, LONGEST))
    if longest > LONGEST or tallest > LONGEST:
        return
    for rows in _heights(tallest, min(tallest, problem.partial_sums // strip.width)):
        found = [way for way in _in_turn(problem, strips, _turns(problem, rows)) if way.reading != "whole"]
        yield from found
        if found or problem.chip.by_channel:
            return


def _turns(problem: Problem, most: int) -> tuple[tuple[Band, ...], ...]:
    """The turns that a layer takes with those that run with it, in bands of at most so many rows."""
    key = "turns", problem.chip.band, bool(problem.chip.pool_words), most
    return problem.once(key, lambda: turns_of(problem, problem.chip.band, most))


def _in_turn(problem: Problem, strips: tuple[Strip, ...], found: tuple[tuple[Band, ...], ...]) -> Iterator[Tiling]:
    """Ways to run a layer in such turns.  Where one has several bands each output group takes its weights through all
    of them; where some channels of the input are there at a time, all output groups are under way, of one band."""
    bands, ends = tuple(chain.from_iterable(found)), list(accumulate(map(len, found)))
    turns = tuple(pairwise([0, *ends]))
    double = _results_fit(problem, strips, bands)
    for way in _readings(problem, strips, bands, double, turns) if double is not None else ():
        if way.order != "groups" or way.block > 1:
            continue
        way = replace(way, order="tiles", turns=turns)
        if problem.chip.by_channel:
            count, rows = problem.outputs.sums, max(band.rows[1] - band.rows[0] for band in bands)
            if len(bands) == len(turns) and count * rows * strips[0].width <= problem.partial_sums:
                yield replace(way, chunk=problem.config.derived.planes, block=count)
            return
        if len(bands) == len(turns) or way.chunk >= problem.range_groups:
            yield way


def _heights(size: int, most: int) -> Iterator[int]:
    """Rows of a band, falling, `most` at most: all of which bands are equal.  Of maps higher than any tile fewer."""
    if size > LONGEST:
        while most:
            yield most
            most //= 2
        return
    tried = 0
    for count in range(1, size + 1):
        rows = -(-size // count)
        if rows <= most and rows != tried:
            yield rows
            tried = rows


def _bands(problem: Problem, rows: int) -> Iterator[tuple[Band, ...]]:
    """Bands of a height; where rows wait in the pool buffer for the next band, also those that compute them anew.

    Not where results are kept besides: that would store them twice.
    """
    bands = bands_of(problem, rows)
    yield bands
    if not _lone(bands) and not problem.layer.keep:
        alone = lone_bands_of(problem, rows)
        if all(band.rows[1] - band.rows[0] <= rows for band in alone):
            yield alone


def _lone(bands: tuple[Band, ...]) -> bool:
    """Whether each band pools its own rows alone, and each pools."""
    pooling = [band.pooled != (0, 0) for band in bands]
    return not any(pooling) or (all(pooling) and all(band.pool_rows[0] >= band.rows[0] for band in bands))


def _results_fit(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...]) -> bool | None:
    """Whether two tiles fit all buffers behind the array, or one does (False); None where not even that."""
    if problem.outputs.together > 1 and not _lone(bands):
        return None
    needs = _behind(problem, strips, bands)
    if any(one.need > one.have for one, _ in needs):
        return None
    return all(two <= one.have for one, two in needs)


def _behind(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...]) -> list[tuple[_Need, int]]:
    """What one tile needs of each buffer behind the array, and what two do.

    The pool buffer must hold two things, at different times: all rows that the largest pooling reads (`live`), and
    when a band is written, the rows that wait for a later pooling besides (`held`); it holds those of one output group.
    Partial sums have room for one tile in any case, so two of them ask for no more.
    """
    config, layer, pooling = problem.config, problem.layer, problem.layer.pooling
    width = max(strip.width for strip in strips)
    pixels = max(band.rows[1] - band.rows[0] for band in bands) * width
    needs = [(_Need("partial-sum memory", "pixels", pixels, problem.partial_sums), pixels)]
    full = layer.result.shape[2]
    if layer.keep:
        whole, left = (full, 0) if layer.spread is None else (layer.spread.whole.shape[2], layer.spread.left)
        begins = [left + strip.columns[0] for strip in strips]
        words = problem.ring_words(pixels, whole, problem.wide(layer.result), begins)
        needs.append((_Need("output buffer", "words", words, config.output_depth), 2 * words))
    if layer.residual is not None and problem.chip.residual is None:
        begins = [strip.columns[0] for strip in strips]
        words = config.derived.words_per_beat if layer.broadcast else problem.ring_words(pixels, full, False, begins)
        needs.append((_Need("residual buffer", "words", words, problem.room(Buffer.RESIDUAL)), 2 * words))
    if pooling is not None:
        high = max(band.pool_rows[1] - band.pool_rows[0] for band in bands)
        live = high * width if high <= LONGEST else config.pool_depth + 1
        held = max(_held(bands)) * width
        needs.append((_Need("pool buffer", "words", max(live, held), config.pool_depth), live + pixels))
        columns = max(strip.pooled[1] - strip.pooled[0] for strip in strips)
        count = max(band.pooled[1] - band.pooled[0] for band in bands) * columns
        whole, left = pooling.written.shape[2], 0 if pooling.spread is None else pooling.spread.left
        begins = [left + strip.pooled[0] for strip in strips]
        out = problem.ring_words(count, whole, problem.wide(pooling.result), begins)
        needs.append((_Need("pooled buffer", "words", out, config.pooled_depth), 2 * out))
    return needs


def _held(bands: tuple[Band, ...]) -> Iterator[int]:
    """Rows of results in the pool buffer when each band is written: those not pooled yet, and its own."""
    for index, band in enumerate(bands):
        later = [b.pool_rows[0] for b in bands[index:] if b.pooled != (0, 0) and b.pool_rows[0] < b.rows[0]]
        yield band.rows[1] - min([band.rows[0], *later])


def _readings(
    problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...], double: bool, turns: Sequence[Span] = ()
) -> Iterator[Tiling]:
    """Ways to read the input and the weights of one cut.

    As a whole, where the input fits: every element is read once, and its loads follow the bands that need them, so
    that the first tile does not wait for the last row.  By bands: rows that two bands share are read twice, and
    every band anew for each output group unless the loop over tiles is outside.  By chunks, where not even one band
    of all input groups fits: then everything is read again for each output group.

    turns: the bands of each turn, if the layer takes turns with others: their input is read together.
    """
    config, geometry = problem.config, problem.geometry
    room = problem.activation_grains
    spans = [(bands[first].rows[0], bands[last - 1].rows[1]) for first, last in turns] or [b.rows for b in bands]
    inputs = [needed(problem.window, 0, rows, geometry.height) for rows in spans]
    most = max(inputs, key=lambda rows: rows[1] - rows[0])
    if most[1] - most[0] > LONGEST:
        return
    if geometry.width % config.derived.words_per_beat == 0:  # else what is read beside a band differs
        inputs = [most]
    tiles = len(strips) * len(bands)
    if problem.chip.leaves_some and tiles > 1:
        return
    if problem.chip.inside:
        yield from _in_part(problem, strips, bands, double)
        return
    if problem.chip.source is not None:
        for chunk in chunk_sizes(problem):
            for order in _orders(bands):
                yield Tiling(strips, bands, chunk, order, "resident", True, double)
        return

    def size(groups: int) -> int:
        return max(_size(problem, groups, rows, strip.inputs) for strip in strips for rows in inputs)

    all_ = size(problem.range_groups)
    for chunk in chunk_sizes(problem):
        for order in _orders(bands):
            all_columns = strips[0].inputs == (0, geometry.width)
            if problem.dense and len(strips) == 1 and all_columns and geometry.whole().size <= room:
                yield Tiling(strips, bands, chunk, order, "whole", True, double)
            if all_ <= room:
                twice = 2 * all_ <= room or (tiles == 1 and problem.dense)
                yield Tiling(strips, bands, chunk, order, "band", twice, double)
            if chunk < problem.range_groups and (part := size(chunk)) <= room:
                yield Tiling(strips, bands, chunk, order, "chunk", 2 * part <= room, double)
    block = 1 if all_ <= room else _block(problem, strips, bands)
    for chunk in chunks_of_blocks(problem) if block > 1 else ():
        part = size(chunk)
        for order in _orders(bands):
            if 2 * part <= room:
                yield Tiling(strips, bands, chunk, order, "chunk", True, double, block)
        stay = max((s for s in chunks_that_stay(problem, chunk) if size(s) + 2 * part <= room), default=0)
        if stay and tiles == 1:
            yield Tiling(strips, bands, chunk, "tiles", "chunk", True, double, block, stay)


def _in_part(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...], double: bool) -> Iterator[Tiling]:
    """Ways to run a layer of one tile that has the first planes of its input there: the others come a chunk at a time,
    of whole output groups of those that wrote them, once for each block."""
    stay, room = problem.chip.inside, problem.activation_grains
    block = _block(problem, strips, bands)
    for chunk in chunks_of_blocks(problem) if len(strips) * len(bands) == 1 and stay <= half_of_buffer(problem) else ():
        whole = chunk % problem.config.derived.planes == 0 and (problem.range_groups - stay) % chunk == 0
        if whole and 2 * _size(problem, chunk, (0, problem.geometry.height), strips[0].inputs) <= room:
            yield Tiling(strips, bands, chunk, "tiles", "resident", True, double, block, stay)


def _block(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...]) -> int:
    """Output groups, or pairs that share passes, of equal blocks, each as large as there are partial sums for; 1
    where blocks cannot be.

    Not where rows of one output group wait in the pool buffer for its next band, nor where output groups read different
    input.  A depthwise CONV has all input groups of its tile.  Nor of listed weight blocks.
    """
    tiles = len(strips) * len(bands)
    alike = problem.dense and problem.outputs.mode != Mode.DEPTHWISE and not problem.outputs.listed
    if not alike or not (tiles == 1 or _lone(bands)):
        return 1
    pixels = max(strip.width for strip in strips) * max(band.rows[1] - band.rows[0] for band in bands)
    most, count = problem.config.partial_sum_depth // pixels, problem.outputs.sums
    return -(-count // -(-count // most))


def _size(problem: Problem, groups: int, rows: Span, columns: Span) -> int:
    """Grains of a band of so many groups."""
    key = "size", groups, rows, columns
    return problem.once(key, lambda: problem.geometry.band((0, groups), rows, columns).size)


def _orders(bands: tuple[Band, ...]) -> Iterator[Literal["tiles", "groups"]]:
    """Orders of the loops: tiles of a group one after another, or with tiles outside the groups of a tile.

    The latter only where each band pools its own rows alone: rows that wait in the pool buffer for the next band
    would have to wait there for every output group at once.
    """
    yield "groups"
    if _lone(bands):
        yield "tiles"
