"""Numbers in a fixed width."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import plain
from quant.coded.head import Reader


@pytest.mark.parametrize("bits", [0, 1, 13, 64])
@pytest.mark.parametrize("least", [0, 77])
def test_they_come_back(bits: int, least: int, rng: np.random.Generator) -> None:
    values = rng.integers(0, (1 << bits) - 1, 50, np.uint64, endpoint=True).tolist()
    values = [max(value, least) for value in values]
    numbers = np.array(values, np.uint64)
    form = plain.plain(numbers)
    assert form.bits == max((max(values) - min(values)).bit_length(), 1)
    found = plain.read(Reader(form.head()), len(values), Reader(b"".join(form.streams)))
    assert found == form and np.array_equal(found.numbers(len(values), 64), numbers)


@pytest.mark.parametrize(
    ("head", "stream", "reason"),
    [
        (varint(0) + varint(0), b"", "numbers of 0 bits"),
        (varint(0) + varint(65), bytes(99), "numbers of 65 bits"),
        (varint(0) + varint(3), bytes(2), "ends too early"),
        (varint(255) + varint(4), b"\x01" * 4, "a number has more than 8 bits"),
        (varint(0) + varint(3), b"\0\0\0\1", "does not end in zeros"),
    ],
)
def test_what_is_none(head: bytes, stream: bytes, reason: str) -> None:
    count = 10 if len(stream) == 4 and head[1] == 3 else 8
    with pytest.raises(BadInput, match=reason):
        plain.read(Reader(head), count, Reader(stream)).numbers(count, 8)
