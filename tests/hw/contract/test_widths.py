"""Bytes of bits, integers as bytes and back."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.widths import as_signed, bytes_of, from_bytes, to_bytes


def test_bytes_of() -> None:
    assert [bytes_of(bits) for bits in (0, 1, 4, 8, 9, 16, 48)] == [0, 1, 1, 1, 2, 2, 6]


@pytest.mark.parametrize("bits", [4, 8, 12, 16, 48])
def test_round_trip(bits: int, rng: np.random.Generator) -> None:
    values = rng.integers(-(1 << bits - 1), 1 << bits - 1, (3, 5))
    data = to_bytes(values, bits)
    assert data.dtype == np.uint8 and data.shape == (3, 5, bytes_of(bits))
    np.testing.assert_array_equal(as_signed(from_bytes(data), bits), values)


def test_low_byte_first_and_higher_bits_dropped() -> None:
    assert to_bytes(np.array([0x12345, -2]), 16).tolist() == [[0x45, 0x23], [0xFE, 0xFF]]
    assert from_bytes(np.array([[0x45, 0x23]], np.uint8)).tolist() == [0x2345]


def test_a_view_that_is_not_contiguous() -> None:
    values = np.arange(12).reshape(3, 4).T
    np.testing.assert_array_equal(from_bytes(to_bytes(values, 8)), values)


def test_as_signed_takes_the_lowest_bits() -> None:
    assert as_signed(np.array([0, 255, 256, 511, -1]), 9).tolist() == [0, 255, -256, -1, -1]
