"""Numbers as bits, one after the other, the most significant bit of each first."""

from __future__ import annotations

import numpy as np

from quant.base.errors import BadInput

AT_ONCE = 1 << 18
"""Numbers packed at a time: each bit is a byte meanwhile."""


def pack(numbers: np.ndarray, lengths: np.ndarray) -> bytes:
    """uint64 (n,) numbers as so many bits each, uint8 (n,), 0 to 64; zeros fill the last byte."""
    parts = []
    for first in range(0, len(numbers), AT_ONCE):
        values, sizes = numbers[first : first + AT_ONCE], lengths[first : first + AT_ONCE].astype(np.int64)
        ends = np.cumsum(sizes)
        bits = np.zeros(int(ends[-1]), np.uint8)
        for place in range(int(sizes.max())):  # counted from each number's last bit
            there = sizes > place
            bits[ends[there] - 1 - place] = (values[there] >> np.uint64(place)) & np.uint64(1)
        parts.append(bits)
    return np.packbits(np.concatenate(parts)).tobytes() if parts else b""


def unpack(content: bytes, count: int, length: int) -> np.ndarray:
    """uint64 (count,): numbers of `length` bits each, 1 to 64.  Raises BadInput as `require_end`."""
    require_end(content, count * length)
    numbers = np.zeros(count, np.uint64)
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=count * length).reshape(count, length)
    for place in range(length):
        numbers = (numbers << np.uint64(1)) | bits[:, place]
    return numbers


def require_end(content: bytes, bits: int) -> None:
    """Raise BadInput where the content is not just so many bits long, zeros up to its last byte's end."""
    if len(content) != -(-bits // 8):
        raise BadInput(f"a stream of {bits} bits has {len(content)} bytes")
    if bits % 8 and content[-1] & (0xFF >> bits % 8):
        raise BadInput("a stream does not end in zeros")
