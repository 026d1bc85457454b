"""Numbers as bits: as texts of 0 and 1 say them."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.coded import bits


def naive(numbers: list[int], lengths: list[int]) -> bytes:
    text = "".join(f"{number:0{length}b}" for number, length in zip(numbers, lengths, strict=True) if length)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[first : first + 8], 2) for first in range(0, len(text), 8))


@pytest.mark.parametrize("longest", [0, 1, 7, 24, 64])
def test_as_text(longest: int, rng: np.random.Generator) -> None:
    for count in range(20):
        lengths = rng.integers(0, longest, count, np.uint8, endpoint=True)
        numbers = [int(rng.integers((1 << int(length)) - 1, dtype=np.uint64, endpoint=True)) for length in lengths]
        assert bits.pack(np.array(numbers, np.uint64), lengths) == naive(numbers, lengths.tolist())


@pytest.mark.parametrize("length", [1, 3, 8, 31, 64])
def test_they_come_back_in_parts_too(length: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(bits, "AT_ONCE", 7)
    numbers = rng.integers(0, (1 << length) - 1, 50, np.uint64, endpoint=True)
    content = bits.pack(numbers, np.full(50, length, np.uint8))
    assert np.array_equal(bits.unpack(content, 50, length), numbers)
    for other in (content[:-1], content + b"\0"):
        with pytest.raises(BadInput, match=f"a stream of {50 * length} bits has {len(other)} bytes"):
            bits.unpack(other, 50, length)


def test_a_stream_ends_in_zeros() -> None:
    bits.require_end(b"\xff\xe0", 11)
    with pytest.raises(BadInput, match="does not end in zeros"):
        bits.require_end(b"\xff\xe1", 11)
