"""Widths: how many bytes hold how many bits, and what integers are as bytes and in a register of some width."""

from __future__ import annotations

import numpy as np

BYTE_BITS = 8


def bytes_of(bits: int) -> int:
    """Bytes that hold `bits`; the last one may be filled in part."""
    return -(-bits // BYTE_BITS)


def to_bytes(values: np.ndarray, bits: int) -> np.ndarray:
    """The lowest bytes_of(bits) bytes of integers, low byte first: any shape to uint8 (..., bytes)."""
    wide = np.ascontiguousarray(values, "<i8")
    return wide[..., None].view(np.uint8)[..., : bytes_of(bits)]


def from_bytes(data: np.ndarray) -> np.ndarray:
    """Bytes, low byte first, as the unsigned integers that they are: uint8 (..., bytes), 7 at most, to int64 (...)."""
    size = data.shape[-1]
    wide = np.zeros((*data.shape[:-1], np.dtype(np.int64).itemsize), np.uint8)
    wide[..., :size] = data
    return wide.view("<i8")[..., 0].astype(np.int64, copy=False)


def as_signed(values: np.ndarray | int, bits: int) -> np.ndarray:
    """What the lowest `bits` bits of integers are in two's complement: int64, same shape."""
    sign = 1 << (bits - 1)
    return ((np.asarray(values, np.int64) & (2 * sign - 1)) ^ sign) - sign
