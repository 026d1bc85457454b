"""The values that an array has, as numbers in order; the elements are places in this list.

Zero is the first, whether the array has it or not: it is what can be left out.
"""

from __future__ import annotations

import numpy as np

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded.head import Reader

MOST = 1 << 16
"""Most values of a codebook, besides zero."""


def book(numbers: np.ndarray) -> np.ndarray:
    """uint64, the codebook of these numbers."""
    return np.union1d(numbers, np.zeros(1, np.uint64))


def write(numbers: np.ndarray) -> bytes:
    """A codebook: how many values follow zero, bytes of a step, the steps less one: all low bytes, then the next."""
    steps = np.diff(numbers) - np.uint64(1)
    size = -(-int(steps.max(initial=0)).bit_length() // 8)
    planes = [((steps >> np.uint64(8 * plane)) & np.uint64(0xFF)).astype(np.uint8).tobytes() for plane in range(size)]
    return varint(len(steps)) + varint(size) + b"".join(planes)


def read(head: Reader, bits: int) -> np.ndarray:
    """As written, of numbers of so many bits.  Raises BadInput for more values than any codebook has, and others."""
    count, size = head.number(), head.number()
    if count > MOST:
        raise BadInput(f"a codebook of {count} values; {MOST} are possible")
    if size > 8:
        raise BadInput(f"a codebook with steps of {size} bytes")
    steps = np.zeros(count + 1, np.uint64)
    for plane in range(size):
        steps[1:] |= np.frombuffer(head.octets(count), np.uint8).astype(np.uint64) << np.uint64(8 * plane)
    steps[1:] += np.uint64(1)
    numbers = np.cumsum(steps, dtype=np.uint64)
    if (numbers[1:] <= numbers[:-1]).any() or int(numbers[-1]) >> bits:
        raise BadInput(f"a codebook of other than {bits} bits")
    return numbers
