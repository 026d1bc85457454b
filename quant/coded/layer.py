"""One array of weights, coded in the form that takes the fewest bits."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import codebook, plain, shared
from quant.coded.head import Reader, compressed
from quant.coded.plain import Plain
from quant.coded.shared import Shared
from quant.coded.values import KINDS, Kind, trailing_zeros

MOST_BYTES = 1 << 31
"""Bytes that no ONNX file reaches."""

MOST_AXES = 8


@dataclass(frozen=True)
class Layer:
    """number: ONNX's, of the elements' type.  zeros: bits at their end that are 0 in all, and are left out."""

    number: int
    shape: tuple[int, ...]
    zeros: int
    form: Plain | Shared

    @property
    def kind(self) -> Kind:
        """The type."""
        return KINDS[self.number]

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def weight(self) -> int:
        """Bytes of the decoded array."""
        return self.kind.size(self.size)

    def head(self) -> bytes:
        """As `read` takes it."""
        own = [self.number, len(self.shape), *self.shape, self.zeros, isinstance(self.form, Shared)]
        return b"".join(map(varint, own)) + self.form.head()

    def decode(self) -> bytes:
        """The array as it was in its file.  Raises BadInput for streams that are none of such an array."""
        if isinstance(self.form, Plain):
            found = self.kind.elements(self.form.numbers(self.size, self.kind.bits - self.zeros), self.zeros)
        else:
            found = self.kind.elements(self.form.book, self.zeros)[self.form.places(self.shape, self.size)]
        return self.kind.to_bytes(found)


def code(raw: bytes, number: int, shape: tuple[int, ...]) -> Layer:
    """Of the bytes of an array of one of the types `KINDS`, one element at least."""
    kind = KINDS[number]
    elements = kind.of_bytes(raw, prod(shape))
    zeros = trailing_zeros(elements)
    distinct, which = np.unique(elements, return_inverse=True)
    numbers = kind.numbers(distinct, zeros)
    unshared = Layer(number, shape, zeros, plain.plain(numbers[which]))
    if len(distinct) > codebook.MOST:
        return unshared
    book = codebook.book(numbers)
    places = np.searchsorted(book, numbers).astype(np.min_scalar_type(len(book)))
    sharing = Layer(number, shape, zeros, shared.share(book, places[which].reshape(shape)))
    return min(unshared, sharing, key=_weight)


def _weight(layer: Layer) -> int:
    """About the bytes of a coded layer: the heads of all are compressed together, so this one is alone."""
    return sum(map(len, layer.form.streams)) + len(compressed(layer.head()))


def read(head: Reader, streams: Reader) -> Layer:
    """From a head, and from what is left of the streams.  Raises BadInput for what no layer is."""
    number = head.number()
    if number not in KINDS:
        raise BadInput(f"an array of the type {number}")
    axes = head.number()
    if axes > MOST_AXES:
        raise BadInput(f"an array of {axes} axes; {MOST_AXES} are possible")
    shape = tuple(head.number() for _ in range(axes))
    zeros, sharing = head.number(), head.number()
    kind, size = KINDS[number], prod(shape)
    if not 0 < kind.size(size) < MOST_BYTES:
        raise BadInput(f"an array of the shape {shape}")
    if zeros >= kind.bits:
        raise BadInput(f"elements of {kind.bits} bits that end in {zeros} zeros")
    if sharing > 1:
        raise BadInput(f"the form {sharing}")
    if sharing:
        return Layer(number, shape, zeros, shared.read(head, shape, kind.bits - zeros, streams))
    return Layer(number, shape, zeros, plain.read(head, size, streams))
