"""Who has room in which ring, and until when.

Everything here happens in the order of the stream, which is the order of dispatch: a stretch is free again once the
last instruction that uses it is emitted, though it may not have run by then.  That is enough, for whoever writes the
stretch next is emitted later and waits for that instruction by a token (`tokens`).  So no instruction ever waits for
room that only a later one gives, and the rings may be as full as they hold.
"""

from __future__ import annotations

from host.compiler.buffers import Region, Ring, meet
from host.compiler.problem import Span
from host.compiler.steps import ConvStep, Piece, Plan
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer, Source


class Room:
    """The rings of the engine, and what stays between them.  A grain is a beat or a word, whichever is larger.

    A layer that streams has a ring in the part of a buffer that its window is; all of them share the buffer, so a
    stretch must also be free of what those before it hold, and of what a step before the fill's has stored to stay.
    """

    def __init__(self, config: AcceleratorConfig, plan: Plan) -> None:
        words = config.derived.words_per_beat
        self.config = config
        self._depths = {
            Buffer.ACTIVATION: config.activation_depth // words,
            Buffer.WEIGHT: config.weight_depth,
            Buffer.RESIDUAL: config.residual_depth // words,
        }
        self._rings: dict[tuple[Buffer, Span | None], Ring] = {}
        self._taken: list[Piece] = []
        """Pieces with room that are not given back."""
        self._staying = list(plan.staying.values())
        self._results = {
            Source.OUTPUT: Ring(config.output_depth // words),
            Source.POOLED: Ring(config.pooled_depth // words),
        }
        self._pool_head = 0
        self._pool_row = 0
        """Word in the pool buffer, and number of the row of results, that come next."""

    # what is loaded: from its first load to the last step that reads it

    def _ring(self, piece: Piece) -> Ring:
        key = piece.buffer, piece.window
        if key not in self._rings:
            first, last = piece.window or (0, self._depths[piece.buffer])
            self._rings[key] = Ring(last - first, None if piece.window is None else first)
        return self._rings[key]

    def fits(self, piece: Piece, step: int) -> bool:
        """Whether a piece that a step needs has room, or could have."""
        if piece.region is not None:
            return True
        ring = self._ring(piece)
        if not ring.fits(piece.size):
            return False
        others = [other for other in self._taken if other.window != piece.window]
        others += [other for other in self._staying if other.first < step]
        mine = Region(ring.next(piece.size), piece.size)
        depth = self._depths[piece.buffer]
        return not any(
            other.buffer is piece.buffer and other.region is not None and meet(mine, other.region, depth)
            for other in others
        )

    def take(self, piece: Piece) -> None:
        """Give a piece room, unless it has some: a piece can be filled bit by bit."""
        if piece.region is None:
            piece.region = self._ring(piece).take(piece.size)
            self._taken.append(piece)

    def start(self, piece: Piece) -> int:
        """A piece's first grain, counted on over every turn of the ring."""
        if piece.region is None:
            raise AssertionError("a piece is used before it is loaded")
        return piece.region.start

    def release(self, step: ConvStep, index: int) -> None:
        """Give back what no step after this one reads."""
        for piece in step.pieces:
            if piece.last == index and piece.region is not None and piece in self._taken:
                self._taken.remove(piece)
                self._ring(piece).release(piece.region)
            elif piece.last == index and piece in self._staying:
                self._staying.remove(piece)

    # results: until their STOREs, which are emitted right behind who writes them, but for those that wait

    def results(self, source: Source, grains: int, wait: bool = False) -> Region:
        """Room for results.  Those that do not wait are stored at once: so it is given back at once, and only their
        number is bounded."""
        region = self._results[source].take(grains)
        if not wait:
            self.let_go(source, region)
        return region

    def let_go(self, source: Source, region: Region) -> None:
        """Give back the room of results that waited."""
        self._results[source].release(region)

    def results_depth(self, source: Source) -> int:
        """Grains of a buffer of results."""
        return self._results[source].depth

    # the pool buffer: rows of results, one behind the other

    def pool_words(self, pixels: int, last_row: int) -> int:
        """Room for the results of a step, behind those before: their first word.

        last_row: the row after them.  Nothing is given back: the tiling sees to it that rows which a pooling still
        needs are no more than the buffer holds (`tiling`).
        """
        start = self._pool_head
        self._pool_head += pixels
        self._pool_row = last_row
        return start

    def pool_word(self, row: int, width: int) -> int:
        """The first word of a row of results that is in the pool buffer, rows being `width` words."""
        return self._pool_head - (self._pool_row - row) * width
