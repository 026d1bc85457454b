"""Arrays of every type come back to the bit, in the form that takes the fewest; other heads are refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from quant.base.errors import BadInput
from quant.base.wire import varint
from quant.coded import codebook, layer
from quant.coded.head import Reader
from quant.coded.layer import Layer
from quant.coded.plain import Plain
from quant.coded.shared import Shared
from quant.coded.values import KINDS


def again(coded: Layer) -> Layer:
    streams = Reader(b"".join(coded.form.streams))
    found = layer.read(Reader(coded.head()), streams)
    assert not streams.rest()
    return found


@pytest.mark.parametrize("number", sorted(KINDS))
@pytest.mark.parametrize("shape", [(), (33,), (5, 1, 4), (4, 6, 3, 2)])
@pytest.mark.parametrize("density", [0, 0.1, 1])
def test_they_come_back(number: int, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> None:
    kind, size = KINDS[number], int(np.prod(shape))
    alphabet = rng.integers(0, (1 << kind.bits) - 1, 20, np.uint64, endpoint=True).astype(kind.dtype)
    elements = rng.choice(alphabet, size) * (rng.random(size) < density).astype(kind.dtype)
    raw = kind.to_bytes(elements)
    coded = again(layer.code(raw, number, shape))
    assert coded.decode() == raw and coded.weight == len(raw) and coded.shape == shape


def test_floats_of_any_kind(rng: np.random.Generator) -> None:
    values = np.array([0.0, -0.0, np.nan, -np.inf, 1e-45, 3.5], np.float32)
    raw = rng.choice(values, 1000).tobytes() + np.array([0x7FC00001], "<u4").tobytes()
    assert again(layer.code(raw, TensorProto.FLOAT, (1001,))).decode() == raw


def test_the_form_with_the_fewest_bits(rng: np.random.Generator) -> None:
    def form(array: np.ndarray, number: int) -> Plain | Shared:
        return layer.code(array.tobytes(), number, array.shape).form

    unshared = form(rng.normal(size=(200, 20)).astype(np.float32), TensorProto.FLOAT)
    assert isinstance(unshared, Plain) and unshared.bits <= 32
    dense = form(rng.integers(-3, 4, (100, 50)).astype(np.int8), TensorProto.INT8)
    assert isinstance(dense, Shared) and dense.distances is None
    sparse = form((rng.integers(1, 4, (100, 50)) * (rng.random((100, 50)) < 0.1)).astype(np.int8), TensorProto.INT8)
    assert isinstance(sparse, Shared) and sparse.distances is not None
    biases = form(rng.integers(-4000, 4000, 64).astype(np.int32), TensorProto.INT32)
    assert isinstance(biases, Plain) and biases.bits == 13


def test_half_precision_takes_half(rng: np.random.Generator) -> None:
    halves = rng.normal(size=3000).astype(np.float16)
    coded = layer.code(halves.astype(np.float32).tobytes(), TensorProto.FLOAT, (3000,))
    assert coded.zeros == 13 and sum(map(len, coded.form.streams)) < halves.nbytes


def test_more_values_than_a_codebook_has(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codebook, "MOST", 99)
    raw = np.repeat(np.arange(100, dtype=np.uint8), 50)
    assert isinstance(layer.code(raw.tobytes(), TensorProto.UINT8, (5000,)).form, Plain)
    assert isinstance(layer.code((raw % 99).tobytes(), TensorProto.UINT8, (5000,)).form, Shared)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ([99, 1, 8, 0, 0], "an array of the type 99"),
        ([3, 9, *[1] * 9, 0, 0], "an array of 9 axes; 8 are possible"),
        ([3, 2, 1 << 16, 1 << 15, 0, 0], r"an array of the shape \(65536, 32768\)"),
        ([3, 2, (1 << 64) - 1, (1 << 64) - 1, 0, 0], "an array of the shape"),
        ([3, 2, 5, 0, 0, 0], r"an array of the shape \(5, 0\)"),
        ([3, 1, 8, 8, 0], "elements of 8 bits that end in 8 zeros"),
        ([3, 1, 8, 0, 2], "the form 2"),
        ([3, 1, 1 << 30, 0, 0, 0, 1], "ends too early"),
    ],
)
def test_what_is_none(head: list[int], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        layer.read(Reader(b"".join(map(varint, head)) + bytes(9)), Reader(bytes(99)))
