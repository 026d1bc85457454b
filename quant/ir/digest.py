"""One number for one tensor, so that four computations of it can be compared in a line."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(array: np.ndarray) -> str:
    """SHA-256, in hexadecimal, of a tensor's integers.

    array: integers (N, C, H, W), the whole batch, of any integer type and memory layout: the digest is that
    of the values as little-endian int32 in NCHW order.
    Raises TypeError for floats, ValueError for integers beyond 32 bits.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"a digest is of integers, not of {array.dtype}")
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        limit = np.iinfo(np.int32)
        if array.size and (array.min() < limit.min or array.max() > limit.max):
            raise ValueError("a digest is of 32-bit integers")
    return hashlib.sha256(np.ascontiguousarray(array, "<i4").data).hexdigest()
