"""The elements of an array of any type as their bits, and as numbers that are small where the values are.

An element is coded by its bits, so that every type comes back to the bit.  Its number is that of the bits turned so
that 0 is 0, and a value and its negative are neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from onnx import TensorProto

from quant.base.errors import BadInput


class Sign(Enum):
    """Where the sign of an element is."""

    NONE = "unsigned"
    COMPLEMENT = "two's complement"
    FIRST_BIT = "the first bit, as of floats"


@dataclass(frozen=True)
class Kind:
    """A type of ONNX: its width, its sign."""

    bits: int
    sign: Sign

    @property
    def dtype(self) -> np.dtype:
        """The unsigned type that holds the bits of an element, in the byte order of ONNX files."""
        return np.dtype(f"<u{max(self.bits // 8, 1)}")

    def size(self, count: int) -> int:
        """Bytes of so many elements; those of 4 bits lie two in one, the first in its low half."""
        return -(-count * self.bits // 8)

    def of_bytes(self, raw: bytes, count: int) -> np.ndarray:
        """The bits (count,) of elements in a file.  Raises BadInput for data of another size."""
        if len(raw) != self.size(count):
            raise BadInput(f"{count} elements of {self.bits} bits are not {len(raw)} bytes")
        found = np.frombuffer(raw, self.dtype)
        return np.stack([found & 15, found >> 4], axis=1).reshape(-1)[:count] if self.bits == 4 else found

    def to_bytes(self, elements: np.ndarray) -> bytes:
        """As `of_bytes`, backwards.  Half a byte that is left is 0."""
        if self.bits == 4:
            pairs = np.concatenate([elements, np.zeros(len(elements) % 2, self.dtype)]).reshape(-1, 2)
            elements = pairs[:, 0] | pairs[:, 1] << 4
        return elements.astype(self.dtype).tobytes()

    def numbers(self, elements: np.ndarray, zeros: int) -> np.ndarray:
        """uint64 (n,) of the bits of elements whose last `zeros` bits are 0, and are left out."""
        bits, one = self.bits - zeros, np.uint64(1)
        found = elements.astype(np.uint64) >> np.uint64(zeros)
        if self.sign is Sign.NONE:
            return found
        negative = found >> np.uint64(bits - 1)
        if self.sign is Sign.COMPLEMENT:
            return ((found << one) ^ (np.uint64(0) - negative)) & _ones(bits)
        return (found << one) & _ones(bits) | negative

    def elements(self, numbers: np.ndarray, zeros: int) -> np.ndarray:
        """As `numbers`, backwards, of numbers of no more bits."""
        bits, one = self.bits - zeros, np.uint64(1)
        found, negative = numbers, numbers & one
        if self.sign is Sign.COMPLEMENT:
            found = (numbers >> one) ^ ((np.uint64(0) - negative) & _ones(bits))
        elif self.sign is Sign.FIRST_BIT:
            found = numbers >> one | negative << np.uint64(bits - 1)
        return (found << np.uint64(zeros)).astype(self.dtype)


def _ones(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


KINDS: dict[int, Kind] = {
    TensorProto.FLOAT: Kind(32, Sign.FIRST_BIT),
    TensorProto.DOUBLE: Kind(64, Sign.FIRST_BIT),
    TensorProto.FLOAT16: Kind(16, Sign.FIRST_BIT),
    TensorProto.BFLOAT16: Kind(16, Sign.FIRST_BIT),
    TensorProto.UINT4: Kind(4, Sign.NONE),
    TensorProto.UINT8: Kind(8, Sign.NONE),
    TensorProto.UINT16: Kind(16, Sign.NONE),
    TensorProto.INT4: Kind(4, Sign.COMPLEMENT),
    TensorProto.INT8: Kind(8, Sign.COMPLEMENT),
    TensorProto.INT16: Kind(16, Sign.COMPLEMENT),
    TensorProto.INT32: Kind(32, Sign.COMPLEMENT),
    TensorProto.INT64: Kind(64, Sign.COMPLEMENT),
}
"""By ONNX's number of the type."""


def trailing_zeros(elements: np.ndarray) -> int:
    """Bits that are 0 at the end of all elements; 0 where all are 0."""
    together = int(np.bitwise_or.reduce(elements))
    return (together & -together).bit_length() - 1 if together else 0
