"""Elements that no code makes shorter: each number in as many bits as the widest needs, and one at least.

A bit at least, so that a file of few bytes cannot claim many elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded.bits import pack, unpack
from quant.coded.head import Reader


@dataclass(frozen=True)
class Plain:
    """Numbers less the `least` of them, in `bits` each."""

    least: int
    bits: int
    stream: bytes

    @property
    def streams(self) -> tuple[bytes, ...]:
        """What stands outside the head."""
        return (self.stream,)

    def head(self) -> bytes:
        """As `read` takes it."""
        return varint(self.least) + varint(self.bits)

    def numbers(self, count: int, most_bits: int) -> np.ndarray:
        """uint64 (count,).  Raises BadInput for a stream of another size, and for numbers of more bits."""
        found = unpack(self.stream, count, self.bits)
        if self.least + int(found.max(initial=0)) >> most_bits:
            raise BadInput(f"a number has more than {most_bits} bits")
        return found + np.uint64(self.least)


def plain(numbers: np.ndarray) -> Plain:
    """Of uint64 (n,), one at least."""
    least = numbers.min()
    bits = max(int(numbers.max() - least).bit_length(), 1)
    return Plain(int(least), bits, pack(numbers - least, np.full(len(numbers), bits, np.uint8)))


def read(head: Reader, count: int, stream: Reader) -> Plain:
    """From a head, and what is left of the streams, which it takes its own from."""
    least, bits = head.number(), head.number()
    if not 1 <= bits <= 64:
        raise BadInput(f"numbers of {bits} bits")
    return Plain(least, bits, stream.octets(-(-count * bits // 8)))
