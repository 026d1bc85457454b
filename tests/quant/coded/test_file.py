"""Coded files: the network comes back to the byte, and whatever is not just as written is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import file
from quant.coded.file import MAGIC, decode, encode, is_coded, layers
from quant.coded.head import compressed


def network(rng: np.random.Generator, scale: int = 1) -> bytes:
    """A network of weights of several types, one of them in numbers instead of bytes, and too small ones."""
    shape = (8 * scale, 6, 3, 3)
    arrays = {
        "sparse": (rng.integers(-3, 4, shape) * (rng.random(shape) < 0.2)).astype(np.int8),
        "float": rng.choice(rng.normal(size=8), (10, 12)).astype(np.float32),
        "bias": rng.integers(-900, 900, 20).astype(np.int32),
        "scale": np.ones((), np.float32),
    }
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    tensors.append(helper.make_tensor("listed", TensorProto.FLOAT, [20], rng.normal(size=20)))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [value], [value], tensors)
    return helper.make_model(graph, producer_name="tests").SerializeToString()


def test_it_comes_back_to_the_byte(rng: np.random.Generator) -> None:
    content = network(rng, 20)
    steps: list[tuple[str, int, int]] = []
    coded = encode(content, lambda *step: steps.append(step))
    assert decode(coded, "net") == content and is_coded(coded) and not is_coded(content)
    assert len(coded) < len(content) / 2 and encode(content) == coded
    assert [layer.shape for layer in layers(coded, "net")] == [(160, 6, 3, 3), (10, 12), (20,)]
    assert steps == [("sparse", 8640, 8780), ("float", 8760, 8780), ("bias", 8780, 8780)]


def test_whoever_wrote_it(rng: np.random.Generator) -> None:
    """Fields in another order, unknown ones, lengths in more bytes than they need: all comes back."""
    model = onnx.load_model_from_string(network(rng))
    tensor = model.graph.initializer[0]
    first = TensorProto(raw_data=tensor.raw_data).SerializeToString()
    tensor.ClearField("raw_data")
    own = first + tensor.SerializeToString() + b"\xfa\x7f\x03new"
    graph = b"\x2a" + bytes([len(own) & 127 | 128, len(own) >> 7 & 127 | 128, 0x80, 0]) + own
    content = b"\x3a" + varint(len(graph)) + graph + b"\x08\x08"
    assert onnx.load_model_from_string(content).graph.initializer[0].name == "sparse"
    coded = encode(content)
    assert decode(coded, "net") == content and len(layers(coded, "net")) == 1


def test_a_network_without_weights() -> None:
    content = onnx.ModelProto(ir_version=8).SerializeToString()
    assert decode(encode(content), "net") == content and layers(encode(content), "net") == []


def test_what_is_no_onnx_file() -> None:
    for content in (b"no network", network(np.random.default_rng(0))[:-1]):
        with pytest.raises(BadInput, match="not an ONNX file, or truncated"):
            encode(content)


def test_every_byte_counts(rng: np.random.Generator) -> None:
    coded = encode(network(rng))
    for place in range(len(MAGIC), len(coded)):
        altered = bytearray(coded)
        altered[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(BadInput, match="net: a coded network, (cut or altered|but of version)"):
            decode(bytes(altered), "net")
    for end in range(len(MAGIC), len(coded)):
        with pytest.raises(BadInput, match="net: a coded network, "):
            decode(coded[:end], "net")
    with pytest.raises(BadInput, match="cut or altered"):
        decode(coded + b"\0", "net")


def test_another_version(rng: np.random.Generator) -> None:
    coded = encode(network(rng))
    with pytest.raises(BadInput, match="^net: a coded network, but of version 2, not 1$"):
        decode(MAGIC + b"\2" + coded[len(MAGIC) + 1 :], "net")


def sealed(head: bytes, streams: bytes = b"", size: int | None = None, packed: bytes | None = None) -> bytes:
    """A file that is whole, with this head."""
    packed = compressed(head) if packed is None else packed
    return file.sealed(varint(len(head) if size is None else size) + varint(len(packed)) + packed + streams)


LAYER = b"".join(map(varint, [0, TensorProto.INT8, 1, 8, 0, 0, 0, 1]))
"""A cut: eight elements of one bit, plain."""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (sealed(varint(0), b"\0"), "bytes are left after the last stream"),
        (sealed(varint(1) + varint(5) + LAYER[1:] + b"rest", b"\0"), "cuts lie behind its end"),
        (sealed(varint(2) + LAYER, b"\0"), "its head ends too early|a number that does not end"),
        (sealed(varint(1) + LAYER), "ends too early"),
        (sealed(varint(1 << 60)), "a number that does not end"),
        (sealed(b"", size=1 << 40), "a head of 1099511627776 bytes, more than"),
        (sealed(varint(0), size=2), "its head has not the 2 bytes that it claims"),
        (sealed(bytes(1 << 20), size=9), "its head has not the 9 bytes"),
        (sealed(varint(0), packed=compressed(varint(0))[:-1]), "its head has not the 1 bytes"),
        (sealed(varint(0), packed=compressed(varint(0)) + b"\0"), "its head has not the 1 bytes"),
        (sealed(varint(0), packed=b"nothing"), "its head is not compressed"),
        (file.sealed(b""), "a number that does not end"),
    ],
)
def test_whole_files_that_are_wrong(content: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=f"net: a coded network, .*({reason})"):
        decode(content, "net")


def test_the_smallest_file_that_is_right() -> None:
    assert decode(sealed(varint(1) + varint(2) + LAYER[1:] + b"rest", b"\x81"), "net") == b"re\xff\0\0\0\0\0\0\xffst"


def test_all_together_no_more_than_a_file_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST_BYTES", 20)
    for count, refused in ((2, False), (3, True)):
        content = sealed(varint(count) + LAYER * count, bytes(count))
        if refused:
            with pytest.raises(BadInput, match="more than 20 bytes when decoded"):
                decode(content, "net")
        else:
            assert decode(content, "net") == bytes(16)


@pytest.mark.parametrize("sharing", [0, 1])
def test_few_bytes_claim_no_memory(sharing: int) -> None:
    head = [0, TensorProto.INT8, 1, 1 << 30, 0, sharing]
    rest = bytes([0, 1]) if not sharing else bytes([0, 0, 1, 1, 8, 0, 4]) + bytes([8] * 256) + bytes([4])
    content = sealed(varint(1) + b"".join(map(varint, head)) + rest, bytes(5))
    tracemalloc.start()
    with pytest.raises(BadInput, match="ends too early|no 1073741824 elements"):
        decode(content, "net")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
