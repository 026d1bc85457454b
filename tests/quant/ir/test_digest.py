"""One number for a tensor."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from quant.ir.digest import digest


def test_digest_is_of_the_values_and_not_of_how_they_lie():
    x = np.arange(-60, 60).reshape(2, 3, 4, 5)
    wanted = hashlib.sha256(b"".join(struct.pack("<i", v) for v in range(-60, 60))).hexdigest()
    assert digest(x) == wanted
    for dtype in (np.int8, np.int16, np.int32, ">i4"):
        assert digest(x.astype(dtype)) == wanted
    assert digest(np.asfortranarray(x)) == wanted
    assert digest(x[::-1]) != wanted and digest(x.reshape(2, 60)) == wanted


def test_digest_refuses_what_it_cannot_hold():
    with pytest.raises(TypeError, match="not of float32"):
        digest(np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="32-bit integers"):
        digest(np.array([2**31]))
    assert digest(np.array([2**31 - 1])) == digest(np.array([2**31 - 1], np.uint32))
