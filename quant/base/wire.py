"""Numbers and fields as protobuf writes them, of which ONNX files are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

GRAPH, INITIALIZER, RAW = 7, 5, 9
"""Numbers of the fields ModelProto.graph, GraphProto.initializer, TensorProto.raw_data."""

MOST_FIELDS = 1 << 20
"""Most fields of a message: a network has far fewer, a file that is none may have any."""


def fields(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: number, and where tag, value and the next field begin.  ValueError where it is none."""
    for _ in range(MOST_FIELDS):
        if begin == end:
            return
        tag, value = read_varint(file, begin)
        kind = tag & 7
        if tag < 8:
            raise ValueError("field 0")
        if kind == 0:
            _, stop = read_varint(file, value)
        elif kind == 2:
            length, value = read_varint(file, value)
            stop = value + length
        elif kind in (1, 5):
            stop = value + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"field of kind {kind}")
        if stop > end:
            raise ValueError("a field that does not end")
        yield tag >> 3, begin, value, stop
        begin = stop
    raise ValueError(f"more than {MOST_FIELDS:,} fields")


def read_varint(file: BinaryIO, place: int) -> tuple[int, int]:
    """A number, and where it ends.  ValueError where it does not."""
    file.seek(place)
    number = 0
    for index, byte in enumerate(file.read(10)):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, place + index + 1
    raise ValueError("a number that does not end")


def varint(number: int) -> bytes:
    """A number, 0 at least."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content
