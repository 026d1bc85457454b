"""What stands before the streams, compressed: numbers as protobuf's varints, and runs of bytes of known length."""

from __future__ import annotations

import lzma
from io import BytesIO

from quant.base.errors import BadInput
from quant.base.wire import read_varint

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]
"""LZMA2 without a frame: a tenth shorter than deflate on codebooks and tables of codes."""


def compressed(head: bytes) -> bytes:
    """As `expanded` takes it."""
    return lzma.compress(head, lzma.FORMAT_RAW, filters=FILTERS)


def expanded(content: bytes, size: int) -> bytes:
    """The head, of so many bytes.  Raises BadInput where it has others; no more are made then."""
    machine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS)
    try:
        found = machine.decompress(content, size + 1)
    except lzma.LZMAError as error:
        raise BadInput("its head is not compressed") from error
    if len(found) != size or not machine.eof or machine.unused_data:
        raise BadInput(f"its head has not the {size} bytes that it claims")
    return found


class Reader:
    """Reads a head from its beginning.  Raises BadInput for what goes past its end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.file, self.place = content, BytesIO(content), 0

    def number(self) -> int:
        """A number of 64 bits."""
        try:
            found, self.place = read_varint(self.file, self.place)
        except ValueError as error:
            raise BadInput(f"its head holds {error}") from error
        if found >> 64:
            raise BadInput("its head holds a number of more than 64 bits")
        return found

    def octets(self, count: int) -> bytes:
        """So many bytes."""
        found = self.content[self.place : self.place + count]
        if len(found) != count:
            raise BadInput("its head ends too early")
        self.place += count
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self.octets(len(self.content) - self.place)
