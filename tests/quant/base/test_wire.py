"""Protobuf's numbers and fields: as protobuf itself writes and reads them."""

from __future__ import annotations

from io import BytesIO

import pytest
from onnx import TensorProto

from quant.base.wire import field, fields, read_varint, varint


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16383, 16384, (1 << 64) - 1])
def test_numbers_come_back(number: int) -> None:
    assert read_varint(BytesIO(b"\xff" + varint(number)), 1) == (number, 1 + len(varint(number)))


def test_fields_are_those_of_protobuf() -> None:
    tensor = TensorProto(name="weights", dims=[300, 2], data_type=1, raw_data=bytes(300))
    content = tensor.SerializeToString()
    found = list(fields(BytesIO(content), 0, len(content)))
    assert sorted({number for number, *_ in found}) == [1, 2, 8, 9]
    values = {number: content[begin:end] for number, _, begin, end in found}
    assert values[8] == b"weights" and values[9] == bytes(300)
    assert b"".join(content[start:end] for _, start, _, end in found) == content
    assert TensorProto.FromString(field(8, b"weights")).name == "weights"


@pytest.mark.parametrize("content", [b"\x80" * 11, b"\x80", b"\x0a\x05abc", b"\x0b", b"\x0d\x01"])
def test_what_is_no_message(content: bytes) -> None:
    with pytest.raises(ValueError, match="field|number"):
        list(fields(BytesIO(content), 0, len(content)))
