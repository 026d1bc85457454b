"""Cutting a layer's map: strips of columns, bands of rows.

A tile is a band of a strip.  Bands alone suffice unless a single row is too wide for the buffers, and they are
cheaper: consecutive rows of a whole width lie one behind the other in memory, in one burst.  Strips break rows apart,
so a strip's rows take a LOAD or STORE each, and two strips read the columns between them twice.

With a pooling behind the convolution, bands end where a row of pooled results is complete, so that no POOL waits for
rows of the next band.  Rows that two pooling windows share stay in the pool buffer from band to band and are computed
once; columns that two strips share are computed twice, since a strip's rows are gone before the next strip begins.
A pooling of a part of the map alone (`Spread`) is that of a strip.
Bands can also compute such rows twice (`lone_bands_of`): then no rows wait, and all output groups of a band can follow
each other.  Of layers that take turns rows of all output groups can wait from turn to turn (`OnChip.pool_words`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from host.compiler.engine_layer import OutputPooling
from host.compiler.problem import Problem, Span, needed


class Band(NamedTuple):
    """Rows of a tile.  rows: of the convolution's results.  pooled: the pooling's rows that are complete with
    it.  pool_rows: rows of results that those need.  The latter two are empty where nothing is."""

    rows: Span
    pooled: Span = (0, 0)
    pool_rows: Span = (0, 0)


class Strip(NamedTuple):
    """Columns of the convolution's results, of the pooling's (none where nothing is pooled), and of the input that they
    need."""

    columns: Span
    pooled: Span
    inputs: Span

    @property
    def width(self) -> int:
        """Columns of the convolution's results."""
        return self.columns[1] - self.columns[0]


def strips_of(problem: Problem, width: int, step: int) -> tuple[Strip, ...]:
    """Strips of at most `step` of `width` columns: of pooled results, of the convolution's where nothing is pooled.

    Pooled strips overlap in what they compute.  Where results are kept too, each column must be in some strip: one
    that no pooling window needs goes to the strip behind it, the last ones to the last strip; and those that two
    strips compute are stored twice, with the same values.  A single strip with a residual has all columns, too, since
    rows of a residual follow each other.
    """
    columns = _pieces(width, step)
    pooling, full = problem.layer.pooling, problem.layer.result.shape[2]
    if len(columns) == 1 and (pooling is None or pooling.spread is None):
        pooled = (0, 0) if pooling is None else (0, pooling.result.shape[2])
        return (Strip((0, problem.results(1)), pooled, (0, problem.geometry.width)),)
    strips = list[Strip]()
    for index, span in enumerate(columns):
        pooled = (0, 0)
        if pooling is not None:
            pooled, span = span, needed(pooling.window, 1, span, full)
            if problem.layer.keep or (len(columns) == 1 and problem.layer.residual is not None):
                start = min(span[0], strips[-1].columns[1] if strips else 0)
                span = start, full if index + 1 == len(columns) else max(span[1], start + 1)
        strips.append(Strip(span, pooled, needed(problem.window, 1, span, problem.geometry.width)))
    return tuple(strips)


def bands_of(problem: Problem, rows: int) -> tuple[Band, ...]:
    """Bands of at most `rows` rows; with pooling, cut where a row of pooled results is complete."""
    pooling, height = problem.layer.pooling, problem.results(0)
    if pooling is None:
        return tuple(Band(span) for span in _pieces(height, rows))
    return _pooled_bands(problem, pooling, (0, pooling.result.shape[1]), (0, height), rows)


def _pooled_bands(problem: Problem, pooling: OutputPooling, whole: Span, results: Span, rows: int) -> tuple[Band, ...]:
    """Bands of at most `rows` of some rows of results, cut where a row of `whole`, which they are for, is complete."""
    bands, (start, height) = list[Band](), results
    full = problem.layer.result.shape[1]
    for pooled in _pool_pieces(pooling, full, whole, start, rows):
        need = needed(pooling.window, 0, pooled, full)
        end = height if pooled[1] == whole[1] else max(need[1], start)
        cuts = [(start + a, start + b) for a, b in _pieces(end - start, rows)] if end > start else []
        bands += [Band(span) for span in cuts[:-1]]
        if cuts:
            bands.append(Band(cuts[-1], pooled, need))
        else:  # these rows were needed for the row before already
            last = bands.pop()
            bands.append(Band(last.rows, (last.pooled[0], pooled[1]), (last.pool_rows[0], need[1])))
        start = end
    return tuple(bands)


def lone_bands_of(problem: Problem, rows: int) -> tuple[Band, ...]:
    """Bands that each compute all rows that their pooled ones need, at most `rows` where possible: none waits for the
    next.  Rows that two need are computed twice."""
    pooling, full = problem.layer.pooling, problem.layer.result.shape[1]
    if pooling is None:
        return bands_of(problem, rows)
    total = pooling.result.shape[1]
    most = max(1, (rows - needed(pooling.window, 0, (0, 1), rows)[1]) // pooling.window.stride[0] + 1)
    spans = _pieces(total, most)
    return tuple(Band(need, span, need) for span in spans for need in [needed(pooling.window, 0, span, full)])


def turns_of(problem: Problem, rows: int, most: int) -> tuple[tuple[Band, ...], ...]:
    """So many rows a turn of what is written, pooled or not, as other layers have them that write or read the same map;
    each turn in bands of at most `most` rows of results where possible.  Where rows of results do not wait in the pool
    buffer for the next turn, it computes those anew that its pooling needs of the turn before."""
    pooling, full = problem.layer.pooling, problem.layer.result.shape[1]
    size = problem.results(0) if pooling is None else pooling.result.shape[1]
    spans = [(start, min(start + rows, size)) for start in range(0, size, rows)]
    if pooling is None:
        return tuple(
            tuple(Band((first + a, first + b)) for a, b in _pieces(last - first, most)) for first, last in spans
        )
    results = [needed(pooling.window, 0, span, full) for span in spans]
    if problem.chip.pool_words:
        ends = [0, *(end for _, end in results)]
        results = list(pairwise(ends))
    return tuple(_pooled_bands(problem, pooling, *both, most) for both in zip(spans, results, strict=True))


def _pool_pieces(pooling: OutputPooling, full: int, whole: Span, start: int, rows: int) -> list[Span]:
    """Some rows of pooled results, in pieces whose new rows of results, of `full` and from `start` on, are no more than
    `rows` where possible.

    Where one pooled row alone needs more (a tall kernel), its rows come in several bands, and only the last one pools.
    """
    pieces: list[Span] = []
    first, total = whole
    while first < total:
        last = first + 1
        while last < total and needed(pooling.window, 0, (first, last + 1), full)[1] - start <= rows:
            last += 1
        pieces.append((first, last))
        start = needed(pooling.window, 0, (first, last), full)[1]
        first = last
    return pieces


def _pieces(size: int, step: int) -> list[Span]:
    """0..size in pieces of at most `step`, as equal as they can be: the largest decides what fits the buffers, and a
    small one at the end would hide nothing."""
    count = -(-size // step)
    step = -(-size // count)
    return [(start, min(start + step, size)) for start in range(0, size, step)]
