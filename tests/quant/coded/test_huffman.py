"""Huffman codes: the shortest there are, canonical, and nothing else is read as one."""

from __future__ import annotations

import heapq
from itertools import product

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.coded import huffman
from quant.coded.huffman import LONGEST, Code, code_of


def least(counts: list[int]) -> int:
    """Bits of the best prefix code: each inner node of the tree costs what is below it."""
    heap, total = [count for count in counts if count], 0
    heapq.heapify(heap)
    if len(heap) == 1:
        return heap[0]
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def words(code: Code) -> dict[int, str]:
    """Codes as texts of 0 and 1, as canonical codes are defined: counting up, a longer one by a shift."""
    found, next_, before = {}, 0, 0
    for symbol in code.symbols.tolist():
        length = int(code.lengths[symbol])
        next_ <<= length - before
        found[symbol], next_, before = f"{next_:0{length}b}", next_ + 1, length
    return found


@pytest.mark.parametrize("symbols", [1, 2, 3, 4])
def test_every_small_alphabet(symbols: int) -> None:
    for counts in product(range(4), repeat=symbols):
        if not any(counts):
            continue
        array = np.array(counts)
        code = code_of(array)
        assert huffman.bits(array) == (code.lengths * array).sum() == least(list(counts))
        assert huffman.entropy(array) <= huffman.bits(array) + 1e-9
        own = words(code)
        assert set(own) == {symbol for symbol in range(symbols) if counts[symbol]}
        stream = np.repeat(np.arange(symbols), array)[::-1]
        content = code.encode(stream)
        text = "".join(own[symbol] for symbol in stream.tolist())
        assert "".join(f"{octet:08b}" for octet in content)[: len(text)] == text
        assert np.array_equal(code.decode(content, len(stream)), stream)


@pytest.mark.parametrize("part", [1, 7, 500])
@pytest.mark.parametrize("symbols", [1, 2, 9, 3000])
def test_streams_come_back_in_parts_too(part: int, symbols: int, rng: np.random.Generator) -> None:
    stream = rng.geometric(2 / (symbols + 1), 400).clip(1, symbols) - 1
    code = code_of(np.bincount(stream))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huffman, "AT_ONCE", part)
        assert np.array_equal(code.decode(code.encode(stream), len(stream)), stream)


def test_no_code_is_longer_than_the_longest() -> None:
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])  # the deepest tree there is
    code = code_of(np.array(counts))
    assert 20 <= code.lengths.max() <= LONGEST
    stream = np.repeat(np.arange(40), 3)
    assert np.array_equal(code.decode(code.encode(stream), 120), stream)


def test_nothing_has_no_code() -> None:
    assert huffman.bits(np.zeros(5, np.int64)) == 0 and huffman.entropy(np.zeros(5)) == 0


@pytest.mark.parametrize(
    ("lengths", "reason"),
    [
        ([], "no complete prefix code"),
        ([0, 0], "no complete prefix code"),
        ([2], "no complete prefix code"),
        ([1, 1, 1], "no complete prefix code"),
        ([1, 2, 3], "no complete prefix code"),
        ([*range(1, 25), 25, 25], "a code has 25 bits, more than 24"),
        ([200, 1], "a code has 200 bits"),
    ],
)
def test_lengths_of_no_code(lengths: list[int], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Code(np.array(lengths, np.uint8))


@pytest.mark.parametrize(
    ("lengths", "content", "count", "reason"),
    [
        ([1, 2, 2], b"", 1, "0 bytes cannot hold 1 codes"),
        ([1, 2, 2], b"\0", 9, "1 bytes cannot hold 9 codes"),
        ([1, 2, 2], b"\xff", 5, "ends within its codes"),
        ([2, 2, 2, 2], b"\x01", 5, "ends within its codes"),
        ([1, 2, 2], b"\0\0", 8, "a stream of 8 bits has 2 bytes"),
        ([1, 2, 2], b"\x01", 4, "does not end in zeros"),
        ([0, 1], b"\x40", 3, "a code that no symbol has"),
        ([1, 1], b"\0", 0, "a stream of 0 bits has 1 bytes"),
    ],
)
def test_streams_of_no_code(lengths: list[int], content: bytes, count: int, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Code(np.array(lengths, np.uint8)).decode(content, count)
