"""Elements that share values: a codebook, and a Huffman code for places in it.

Of what has zeros only the elements that are kept may be written, and with a code of their own the distances between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import codebook, indices, ways
from quant.coded.head import Reader
from quant.coded.huffman import Code, code_of
from quant.coded.indices import WIDTHS, Walk


@dataclass(frozen=True, eq=False)
class Stream:
    """Symbols in a Huffman code."""

    code: Code
    content: bytes

    def head(self) -> bytes:
        """As `read_stream` takes it."""
        return self.code.lengths.tobytes() + varint(len(self.content))


def write_stream(symbols: np.ndarray, counts: np.ndarray) -> Stream:
    """Of symbols that occur so often."""
    code = code_of(counts)
    return Stream(code, code.encode(symbols))


def read_stream(head: Reader, symbols: int, streams: Reader) -> Stream:
    """Of so many symbols."""
    code = Code(np.frombuffer(head.octets(symbols), np.uint8))
    return Stream(code, streams.octets(head.number()))


@dataclass(frozen=True, eq=False)
class Distances:
    """Where `count` elements stand along a walk, fillers among them: indices of `width` bits."""

    walk: Walk
    width: int
    count: int
    stream: Stream

    def head(self) -> bytes:
        """As `read_distances` takes it behind the width."""
        return bytes(self.walk) + varint(self.count) + self.stream.head()

    def places(self, size: int) -> np.ndarray:
        """int64 (count,): places along the walk.  Raises BadInput for those of another size."""
        return indices.places(self.stream.code.decode(self.stream.content, self.count), self.width, size)


def read_distances(head: Reader, width: int, axes: int, streams: Reader) -> Distances:
    """Of an array of so many axes."""
    if width not in WIDTHS:
        raise BadInput(f"indices of {width} bits; {WIDTHS[0]} to {WIDTHS[-1]} are possible")
    walk = tuple(head.octets(axes))
    if sorted(walk) != list(range(axes)):
        raise BadInput(f"{walk} is no order of {axes} axes")
    return Distances(walk, width, head.number(), read_stream(head, 1 << width, streams))


@dataclass(frozen=True, eq=False)
class Shared:
    """book: uint64, as `codebook.book`.  values: of places in it.  distances: None where every element is written."""

    book: np.ndarray
    values: Stream
    distances: Distances | None

    @property
    def streams(self) -> tuple[bytes, ...]:
        """What stands outside the head."""
        own = self.values.content
        return (own,) if self.distances is None else (own, self.distances.stream.content)

    def head(self) -> bytes:
        """As `read` takes it; a width of 0 says that there are no distances."""
        own = codebook.write(self.book) + self.values.head()
        return own + (varint(0) if self.distances is None else varint(self.distances.width) + self.distances.head())

    def places(self, shape: tuple[int, ...], size: int) -> np.ndarray:
        """ints (size,): where in the book each element of the array is.  Raises BadInput for streams that are none."""
        if self.distances is None:
            return self.values.code.decode(self.values.content, size)
        where = self.distances.places(size)
        found = np.zeros(size, np.min_scalar_type(len(self.book)))
        found[where] = self.values.code.decode(self.values.content, self.distances.count)
        return indices.back(found, shape, self.distances.walk).reshape(-1)


def share(book: np.ndarray, places: np.ndarray) -> Shared:
    """Of elements given as places in the book, ints of the array's shape: in the fewest bits."""
    way = ways.best(places, len(book))
    if way.walk is None:
        return Shared(book, write_stream(places.reshape(-1), way.values), None)
    elements = indices.along(places, way.walk)
    found, kept = indices.indices(indices.gaps(elements != 0), way.width)
    written = np.zeros(len(found), elements.dtype)
    written[kept] = elements[elements != 0]
    distances = Distances(way.walk, way.width, len(found), write_stream(found, way.indices))
    return Shared(book, write_stream(written, way.values), distances)


def read(head: Reader, shape: tuple[int, ...], bits: int, streams: Reader) -> Shared:
    """From a head, of numbers of so many bits, and from what is left of the streams."""
    book = codebook.read(head, bits)
    values = read_stream(head, len(book), streams)
    width = head.number()
    return Shared(book, values, read_distances(head, width, len(shape), streams) if width else None)
