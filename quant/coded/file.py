"""The coded file: an ONNX file from which the data of its weights are cut out, and these coded.

Magic, version, SHA-256 of what follows; the bytes of the head; the head, compressed (LZMA2); the streams.  The head
has each cut: how many bytes of the file lie between it and the one before, and its coded layer; then those bytes.  So
the file comes back to the byte, whoever wrote it, and nothing of ONNX is needed to decode it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import prod

from onnx import TensorProto

from quant.base.errors import BadInput
from quant.base.wire import GRAPH, INITIALIZER, RAW, fields, varint
from quant.coded import layer
from quant.coded.head import Reader, compressed, expanded
from quant.coded.layer import MOST_AXES, MOST_BYTES, Layer
from quant.coded.values import KINDS

MAGIC = b"SPCODED"
"""No ONNX file begins so: protobuf has no such first field."""

VERSION = 1

LEAST = 16
"""Elements from which on an initializer is cut out; less is compressed with what is left of the file."""

MOST_HEAD = 1 << 26
"""Bytes of the head, not compressed: all of the network but its weights."""


@dataclass(frozen=True)
class Cut:
    """Where an initializer's data lie in the file, and whose they are."""

    begin: int
    end: int
    tensor: TensorProto


def is_coded(content: bytes) -> bool:
    """Whether a file, of which these are the first bytes at least, is a coded one."""
    return content.startswith(MAGIC)


def encode(content: bytes, progress: Callable[[str, int, int], object] = lambda what, done, total: None) -> bytes:
    """An ONNX file in one piece -> the coded file.  progress: told the array, and how many elements
    are done, of how many.

    Raises BadInput for a file that is none.
    """
    heads: list[bytes] = []
    rest: list[bytes] = []
    streams: list[bytes] = []
    at = 0
    found = cuts(content)
    total, done = sum(prod(cut.tensor.dims) for cut in found), 0
    for cut in found:
        coded = layer.code(content[cut.begin : cut.end], cut.tensor.data_type, tuple(cut.tensor.dims))
        heads.append(varint(cut.begin - at) + coded.head())
        streams += coded.form.streams
        rest.append(content[at : cut.begin])
        at, done = cut.end, done + prod(cut.tensor.dims)
        progress(cut.tensor.name, done, total)
    head = b"".join([varint(len(heads)), *heads, *rest, content[at:]])
    if len(head) > MOST_HEAD:
        raise BadInput(f"has {len(head)} bytes without its weights, more than {MOST_HEAD}")
    packed = compressed(head)
    return sealed(b"".join([varint(len(head)), varint(len(packed)), packed, *streams]))


def sealed(body: bytes) -> bytes:
    """A file of what follows the digest."""
    return b"".join([MAGIC, bytes([VERSION]), hashlib.sha256(body).digest(), body])


def decode(content: bytes, name: str) -> bytes:
    """The ONNX file of a coded one.  name: of the file, for messages.

    Raises BadInput for a file that is damaged, of another version, or claims what it does not hold.
    """
    try:
        found, at = [], 0
        parts, rest = _opened(content)
        for gap, coded in parts:
            found += [rest[at : at + gap], coded.decode()]
            at += gap
        return b"".join([*found, rest[at:]])
    except BadInput as error:
        raise BadInput(f"{name}: a coded network, {error}") from error


def layers(content: bytes, name: str) -> list[Layer]:
    """What is coded in a file, in the order of its cuts.  Raises BadInput as `decode`, but for what streams hold."""
    try:
        return [coded for _, coded in _opened(content)[0]]
    except BadInput as error:
        raise BadInput(f"{name}: a coded network, {error}") from error


def _opened(content: bytes) -> tuple[list[tuple[int, Layer]], bytes]:
    """The layers, each with how many bytes stand before it, and all those bytes."""
    front = len(MAGIC) + 1
    version, digest, body = content[len(MAGIC) : front], content[front : front + 32], content[front + 32 :]
    if version != bytes([VERSION]):
        raise BadInput(f"but of version {version[0] if version else 'none'}, not {VERSION}")
    if hashlib.sha256(body).digest() != digest:
        raise BadInput("cut or altered: its SHA-256 is another")
    front_of_body = Reader(body)
    size, packed = front_of_body.number(), front_of_body.number()
    if size > MOST_HEAD:
        raise BadInput(f"a head of {size} bytes, more than {MOST_HEAD}")
    head, streams = Reader(expanded(front_of_body.octets(packed), size)), Reader(front_of_body.rest())
    found = [(head.number(), layer.read(head, streams)) for _ in range(head.number())]
    rest = head.rest()
    if streams.rest():
        raise BadInput("bytes are left after the last stream")
    if sum(gap for gap, _ in found) > len(rest):
        raise BadInput("cuts lie behind its end")
    if len(rest) + sum(coded.weight for _, coded in found) > MOST_BYTES:
        raise BadInput(f"more than {MOST_BYTES} bytes when decoded")
    return found, rest


def cuts(content: bytes) -> list[Cut]:
    """The initializers of an ONNX file whose data are coded.  Raises BadInput for a file that is none."""
    file, found = BytesIO(content), []
    try:
        for number, _, begin, end in fields(file, 0, len(content)):
            for inner, _, inner_begin, inner_end in fields(file, begin, end) if number == GRAPH else ():
                cut = _cut(content, inner_begin, inner_end) if inner == INITIALIZER else None
                found += [cut] if cut is not None else []
    except Exception as error:  # protobuf's own class, too
        raise BadInput("not an ONNX file, or truncated") from error
    return found


def _cut(content: bytes, begin: int, end: int) -> Cut | None:
    """Of an initializer; None where its data are few, or lie elsewhere than in bytes of its own."""
    parts = list(fields(BytesIO(content[begin:end]), 0, end - begin))
    raw = [part for part in parts if part[0] == RAW]
    tensor = TensorProto.FromString(b"".join(content[begin + a : begin + b] for n, a, _, b in parts if n != RAW))
    if len(raw) != 1 or tensor.data_type not in KINDS or len(tensor.dims) > MOST_AXES:
        return None
    kind, count = KINDS[tensor.data_type], prod(tensor.dims)
    if count < LEAST or raw[0][3] - raw[0][2] != kind.size(count):
        return None
    return Cut(begin + raw[0][2], begin + raw[0][3], tensor)
