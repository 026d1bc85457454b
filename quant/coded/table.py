"""The table of the paper: by array of weights what is kept, and bits of a weight and an index, plain and coded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.coded.file import cuts, layers
from quant.coded.layer import Layer
from quant.coded.shared import Shared


@dataclass(frozen=True)
class Row:
    """An array of weights.

    kept: elements that are not zero.  values: in its codebook besides zero, 0 where it has none.  value_bits: of a
    place in that codebook, or of an element.  width: of an index, 0 where there are none.  value_bytes, index_bytes:
    of its streams; its tables are in the file's head.
    """

    name: str
    weights: int
    kept: int
    values: int
    value_bits: int
    width: int
    value_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes of both streams."""
        return self.value_bytes + self.index_bytes


@dataclass(frozen=True)
class Table:
    """A coded file: the rows of weights; bytes of the streams of all other arrays (biases, scales), of the file."""

    rows: tuple[Row, ...]
    others: int
    file: int

    @property
    def weights(self) -> int:
        """All weights."""
        return sum(row.weights for row in self.rows)

    @property
    def kept(self) -> int:
        """Those that are not zero."""
        return sum(row.kept for row in self.rows)

    @property
    def head(self) -> int:
        """Bytes of codebooks, tables of codes, and what is left of the network."""
        return self.file - self.others - sum(row.bytes for row in self.rows)


def table(content: bytes, coded: bytes) -> Table:
    """Of an ONNX file in one piece, and what it was encoded to.  An array of two axes and more is one of weights."""
    found = layers(coded, "network")
    rows = tuple(_rows(content, found))
    others = sum(_stream_bytes(layer) for layer in found if len(layer.shape) < 2)
    return Table(rows, others, len(coded))


def _rows(content: bytes, found: list[Layer]) -> Iterator[Row]:
    for cut, layer in zip(cuts(content), found, strict=True):
        if len(layer.shape) < 2:
            continue
        elements = layer.kind.of_bytes(content[cut.begin : cut.end], layer.size)
        form = layer.form
        streams = [len(stream) for stream in form.streams]
        yield Row(
            name=cut.tensor.name,
            weights=layer.size,
            kept=int(np.count_nonzero(elements)),
            values=len(form.book) - 1 if isinstance(form, Shared) else 0,
            value_bits=(len(form.values.code.symbols) - 1).bit_length() if isinstance(form, Shared) else form.bits,
            width=form.distances.width if isinstance(form, Shared) and form.distances is not None else 0,
            value_bytes=streams[0],
            index_bytes=sum(streams[1:]),
        )


def _stream_bytes(layer: Layer) -> int:
    return sum(map(len, layer.form.streams))
