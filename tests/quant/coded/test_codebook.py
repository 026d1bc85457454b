"""Codebooks: ascending numbers, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import codebook
from quant.coded.head import Reader


@pytest.mark.parametrize("bits", [1, 8, 16, 17, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_they_come_back(bits: int, count: int, rng: np.random.Generator) -> None:
    values = rng.integers(0, (1 << bits) - 1, count, np.uint64, endpoint=True)
    numbers = codebook.book(values)
    assert numbers.dtype == np.uint64 and numbers.tolist() == sorted({*values.tolist(), 0})
    head = Reader(codebook.write(numbers) + b"next")
    assert np.array_equal(codebook.read(head, bits), numbers)
    assert head.rest() == b"next"


def test_values_in_a_row_take_nothing() -> None:
    assert codebook.write(np.arange(256, dtype=np.uint64)) == varint(255) + varint(0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (varint((1 << 16) + 1) + varint(1) + bytes(1 << 17), "a codebook of 65537 values; 65536 are possible"),
        (varint(1 << 60) + varint(1), "a codebook of 1152921504606846976 values"),
        (varint(2) + varint(9) + bytes(18), "steps of 9 bytes"),
        (varint(256) + varint(0), "other than 8 bits"),
        (varint(2) + varint(1) + b"\1\xff", "other than 8 bits"),
        (varint(2) + varint(8) + b"\xff" * 16, "other than 8 bits"),
        (varint(2) + varint(8) + b"\xfe\xff" + b"\xff" * 14, "other than 8 bits"),
        (varint(9) + varint(1) + b"\1", "ends too early"),
    ],
)
def test_what_is_none(content: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        codebook.read(Reader(content), 8)
