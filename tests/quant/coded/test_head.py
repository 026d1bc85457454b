"""Heads end where they end."""

from __future__ import annotations

import pytest

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded.head import Reader, compressed, expanded


def test_what_was_written_in_order() -> None:
    head = Reader(varint(7) + varint(1 << 63) + b"abc" + b"rest")
    assert (head.number(), head.number(), head.octets(3), head.rest(), head.rest()) == (
        7,
        1 << 63,
        b"abc",
        b"rest",
        b"",
    )


def test_nothing_is_read_behind_its_end() -> None:
    with pytest.raises(BadInput, match="ends too early"):
        Reader(b"ab").octets(3)
    with pytest.raises(BadInput, match="a number that does not end"):
        Reader(b"\x80").number()
    with pytest.raises(BadInput, match="a number of more than 64 bits"):
        Reader(varint(1 << 64)).number()


def test_compressed_heads_are_as_long_as_they_claim() -> None:
    head = bytes(range(256)) * 40
    content = compressed(head)
    assert len(content) < 1000 and expanded(content, len(head)) == head
    for size in (0, len(head) - 1, len(head) + 1):
        with pytest.raises(BadInput, match=f"its head has not the {size} bytes that it claims"):
            expanded(content, size)
    for wrong in (content[:-1], content + b"\0", b""):
        with pytest.raises(BadInput, match="its head has not the"):
            expanded(wrong, len(head))
    with pytest.raises(BadInput, match="its head is not compressed"):
        expanded(b"nothing", 9)
