"""How a layer is cut: strips of columns, bands of rows, chunks of input groups, and the order of the loops.

All ways that fit the buffers are tried; the one with the fewest cycles, as `cost` estimates them, wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from host.compiler.errors import CannotCompile
from host.compiler.memory import aligned
from host.compiler.problem import Problem, Span, needed


@dataclass(frozen=True)
class Band:
    """Rows of a tile.  rows: of the convolution's results.  pooled: the pooling's rows that are complete with
    it.  pool_rows: rows of results that those need.  The latter two are empty where nothing is."""

    rows: Span
    pooled: Span = (0, 0)
    pool_rows: Span = (0, 0)


@dataclass(frozen=True)
class Strip:
    """Columns of the convolution's results, of the pooling's, and of the input that they need."""

    columns: Span
    pooled: Span
    inputs: Span

    @property
    def width(self) -> int:
        """Columns of the convolution's results."""
        return self.columns[1] - self.columns[0]


@dataclass(frozen=True)
class Tiling:
    """One way to run a layer.

    chunk: input groups of one CONV.  order: which loop is outside, over tiles or over output groups.
    reading: the input is read once as a whole, or band by band, or a chunk of a band at a time.
    double: every buffer holds two tiles, so that one is loaded or stored while the other is computed.
    """

    strips: tuple[Strip, ...]
    bands: tuple[Band, ...]
    chunk: int
    order: Literal["tiles", "groups"]
    reading: Literal["whole", "band", "chunk"]
    double: bool

    @property
    def tiles(self) -> int:
        """Tiles of one output group."""
        return len(self.strips) * len(self.bands)

    def weights_once(self, problem: Problem) -> bool:
        """Whether no weight is read twice: all stay in the buffer, or each output group's until its end."""
        if problem.weight_beats <= problem.config.weight_depth or self.tiles == 1:
            return True
        return self.order == "groups" and self.chunk >= problem.range_groups

    @property
    def band_once(self) -> bool:
        """Whether a band that is read stays until the last output group that needs it."""
        return self.order == "tiles" or self.tiles == 1


def ways(problem: Problem) -> Iterator[Tiling]:
    """Every tiling that fits, with as few strips as possible.

    Raises CannotCompile, naming buffer and missing amount, where not even the smallest tile fits.
    """
    _check_smallest(problem)
    pooling = problem.layer.pooling
    width = problem.results(1) if pooling is None else pooling.result.shape[2]
    found = False
    for count in range(1, width + 1):
        strips = _strips(problem, _pieces(width, -(-width // count)))
        for tiling in _fitting(problem, strips):
            found = True
            yield tiling
        if found:
            return
    raise CannotCompile(problem.layer.name, "no tile fits the buffers")


def _pieces(size: int, step: int) -> list[Span]:
    """0..size in equal pieces of at most `step`."""
    count = -(-size // step)
    step = -(-size // count)
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def _check_smallest(problem: Problem) -> None:
    """Raise CannotCompile where one result, or one pooled result, of one input group does not fit."""
    config, window, pooling = problem.config, problem.window, problem.layer.pooling
    d = config.derived
    span = [(k - 1) * s + 1 for k, s in zip(window.kernel, window.dilation, strict=True)]
    rows, columns = min(span[0], problem.geometry.height), min(span[1], problem.geometry.width)
    needs = [
        ("weight buffer", "beats", d.parameter_beats + problem.block_beats, config.weight_depth),
        ("activation buffer", "words", rows * (columns + 2 * d.words_per_beat), config.activation_depth),
    ]
    if pooling is not None:
        kernel = [min(k, s) for k, s in zip(pooling.window.kernel, problem.layer.result.shape[1:], strict=True)]
        needs.append(("pool buffer", "words", kernel[0] * kernel[1], config.pool_depth))
    for buffer, unit, need, have in needs:
        if need > have:
            raise CannotCompile(
                problem.layer.name,
                f"its smallest tile needs {need} {unit} of the {buffer}, {need - have} more than it has",
            )


def _strips(problem: Problem, columns: list[Span]) -> tuple[Strip, ...]:
    """Strips over columns of pooled results, or of the convolution's where these are not pooled.

    Pooled strips overlap in what they compute; where results are kept too, some are stored twice.
    """
    pooling, width, full = problem.layer.pooling, problem.results(1), problem.layer.result.shape[2]
    if len(columns) == 1:
        pooled = (0, 0) if pooling is None else (0, pooling.result.shape[2])
        return (Strip((0, width), pooled, (0, problem.geometry.width)),)
    strips = list[Strip]()
    for index, span in enumerate(columns):
        pooled = (0, 0)
        if pooling is not None:
            pooled, span = span, needed(pooling.window, 1, span, full)
            if problem.layer.keep:
                start = min(span[0], strips[-1].columns[1] if strips else 0)
                span = start, full if index + 1 == len(columns) else max(span[1], start + 1)
        strips.append(Strip(span, pooled, needed(problem.window, 1, span, problem.geometry.width)))
    return tuple(strips)


def _fitting(problem: Problem, strips: tuple[Strip, ...]) -> Iterator[Tiling]:
    """Every tiling into these strips that fits."""
    width = max(strip.width for strip in strips)
    most = min(problem.results(0), problem.config.partial_sum_depth // width)
    if len(strips) > 1 and (problem.layer.keep or problem.layer.residual is not None):
        most = min(most, 1)  # a strip's rows start anywhere in a beat: each has a STORE or LOAD of its own
    tried = set()
    for count in range(1, problem.results(0) + 1):
        rows = -(-problem.results(0) // count)
        if rows > most or rows in tried:
            continue
        tried.add(rows)
        bands = _bands(problem, rows)
        double = _results_fit(problem, strips, bands)
        if double is not None:
            yield from _readings(problem, strips, bands, double)


def _bands(problem: Problem, rows: int) -> tuple[Band, ...]:
    """Bands of at most `rows` rows; with pooling, cut where a row of pooled results is complete."""
    pooling, height = problem.layer.pooling, problem.results(0)
    if pooling is None:
        return tuple(Band(span) for span in _pieces(height, rows))
    bands, start = [], 0
    full = problem.layer.result.shape[1]
    for pooled in _pool_pieces(problem, rows):
        need = needed(pooling.window, 0, pooled, full)
        end = height if pooled[1] == pooling.result.shape[1] else max(need[1], start)
        cuts = [(start + a, start + b) for a, b in _pieces(end - start, rows)] if end > start else []
        bands += [Band(span) for span in cuts[:-1]]
        if cuts:
            bands.append(Band(cuts[-1], pooled, need))
        else:  # these rows were needed for the row before already
            last = bands.pop()
            bands.append(Band(last.rows, (last.pooled[0], pooled[1]), (last.pool_rows[0], need[1])))
        start = end
    return tuple(bands)


def _pool_pieces(problem: Problem, rows: int) -> list[Span]:
    """Rows of pooled results, in pieces whose new rows of results are no more than `rows` where possible."""
    pooling = problem.layer.pooling
    if pooling is None:
        return []
    total, full = pooling.result.shape[1], problem.layer.result.shape[1]
    pieces: list[Span] = []
    first = start = 0
    while first < total:
        last = first + 1
        while last < total and needed(pooling.window, 0, (first, last + 1), full)[1] - start <= rows:
            last += 1
        pieces.append((first, last))
        start = needed(pooling.window, 0, (first, last), full)[1]
        first = last
    return pieces


def _results_fit(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...]) -> bool | None:
    """Whether two tiles fit all buffers behind the array, or one does (False); None where not even that."""
    config, layer, pooling = problem.config, problem.layer, problem.layer.pooling
    width = max(strip.width for strip in strips)
    pixels = max(band.rows[1] - band.rows[0] for band in bands) * width
    if pixels > config.partial_sum_depth:
        return None
    full = layer.result.shape[2]
    needs = []
    if layer.keep:
        needs.append((problem.ring_words(pixels, full, problem.wide(layer.result)), config.output_depth))
    if layer.residual is not None:
        needs.append((problem.ring_words(pixels, full, False), config.residual_depth))
    double = all(2 * need <= have for need, have in needs)
    if pooling is not None:
        live = max(band.pool_rows[1] - band.pool_rows[0] for band in bands) * width
        held = max(_held(bands)) * width
        needs += [(live, config.pool_depth), (held, config.pool_depth)]
        columns = max(strip.pooled[1] - strip.pooled[0] for strip in strips)
        count = max(band.pooled[1] - band.pooled[0] for band in bands) * columns
        out = problem.ring_words(count, pooling.result.shape[2], problem.wide(pooling.result))
        needs.append((out, config.pooled_depth))
        double = double and live + pixels <= config.pool_depth and 2 * out <= config.pooled_depth
    return double if all(need <= have for need, have in needs) else None


def _held(bands: tuple[Band, ...]) -> Iterator[int]:
    """Rows of results in the pool buffer when each band is written: those not pooled yet, and its own."""
    for index, band in enumerate(bands):
        later = [b.pool_rows[0] for b in bands[index:] if b.pooled != (0, 0)]
        yield band.rows[1] - min([band.rows[0], *later])


def _readings(problem: Problem, strips: tuple[Strip, ...], bands: tuple[Band, ...], double: bool) -> Iterator[Tiling]:
    """Ways to read the input and the weights of one cut."""
    config, geometry = problem.config, problem.geometry
    room = config.activation_depth // config.derived.words_per_beat
    inputs = [needed(problem.window, 0, band.rows, geometry.height) for band in _extremes(bands)]

    def size(groups: int) -> int:
        return max(geometry.band((0, groups), rows, strip.inputs).size for strip in strips for rows in inputs)

    all_ = size(problem.range_groups)
    tiles = len(strips) * len(bands)
    for chunk in _chunks(problem):
        for order in _orders(bands):
            if problem.dense and len(strips) == 1 and geometry.whole().size <= room:
                yield Tiling(strips, bands, chunk, order, "whole", double)
            if all_ <= room:
                twice = 2 * all_ <= room or (tiles == 1 and problem.dense)
                yield Tiling(strips, bands, chunk, order, "band", double and twice)
            if chunk < problem.range_groups and (part := size(chunk)) <= room:
                yield Tiling(strips, bands, chunk, order, "chunk", double and 2 * part <= room)


def _extremes(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The bands that can need the most input: all but those in the middle that equal each other."""
    return bands if len(bands) < 8 else (*bands[:3], *bands[-3:], max(bands, key=lambda b: b.rows[1] - b.rows[0]))


def _orders(bands: tuple[Band, ...]) -> Iterator[Literal["tiles", "groups"]]:
    yield "groups"
    if all(band.pool_rows[0] >= band.rows[0] for band in bands if band.pooled != (0, 0)) and all(
        band.pooled != (0, 0) for band in bands if bands[-1].pooled != (0, 0)
    ):
        yield "tiles"


def _chunks(problem: Problem) -> Iterator[int]:
    """Numbers of input groups of one CONV: the fewest chunks whose weights fit half the buffer, and a few more."""
    config, total = problem.config, problem.range_groups
    depth, parameters = config.weight_depth, config.derived.parameter_beats
    most = (depth // 2 - parameters) // problem.block_beats
    most = most or (depth - parameters) // problem.block_beats
    if problem.weight_beats <= depth:
        most = total
    unit = config.derived.words_per_beat if problem.geometry.flat else 1
    fewest = -(-total // most)
    seen = set()
    for count in (*range(fewest, fewest + 3), 2 * fewest, 4 * fewest, total):
        chunk = aligned(-(-total // count), unit)  # flat: chunks begin where a beat does
        if count <= total and chunk not in seen and chunk <= aligned(most, unit):
            seen.add(chunk)
            yield chunk
