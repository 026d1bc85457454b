"""Elements of every type as numbers: one to one, zero is 0, and near it they are small."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.coded.values import KINDS, trailing_zeros


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_numbers_are_one_to_one(number: int, zeros: int, rng: np.random.Generator) -> None:
    kind = KINDS[number]
    bits = kind.bits - zeros
    some = rng.integers(0, (1 << bits) - 1, 5000, np.uint64, endpoint=True)
    numbers = np.arange(1 << bits, dtype=np.uint64) if bits <= 12 else np.unique(some)
    elements = kind.elements(numbers, zeros)
    assert elements.dtype == kind.dtype and len(np.unique(elements)) == len(numbers)
    assert np.array_equal(kind.numbers(elements, zeros), numbers)
    assert not np.bitwise_and(elements, kind.dtype.type((1 << zeros) - 1)).any()
    assert kind.elements(np.zeros(1, np.uint64), zeros)[0] == 0


def test_values_near_zero_are_small_numbers() -> None:
    eight = KINDS[TensorProto.INT8]
    assert eight.numbers(np.array([0, -1, 1, -2, 2, -128], np.int8).view(np.uint8), 0).tolist() == [0, 1, 2, 3, 4, 255]
    single = KINDS[TensorProto.FLOAT]
    floats = np.array([0.0, -0.0, 1.0, -1.0, 1.5, -1.5], np.float32).view(np.uint32)
    assert np.array_equal(single.numbers(floats, 0) >> np.uint64(1), floats & 0x7FFFFFFF)
    assert (single.numbers(floats, 0) & np.uint64(1)).tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("count", [1, 6, 7])
def test_bytes_are_those_of_onnx(number: int, count: int, rng: np.random.Generator) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(number)
    tensor = numpy_helper.from_array(rng.integers(0, 8, count).astype(np.float32).astype(dtype), "t")
    kind = KINDS[number]
    elements = kind.of_bytes(tensor.raw_data, count)
    assert len(elements) == count and kind.size(count) == len(tensor.raw_data)
    assert kind.to_bytes(elements) == tensor.raw_data
    whole = numpy_helper.to_array(tensor).astype(np.float64)
    assert np.array_equal(kind.numbers(elements, 0) == 0, whole == 0)
    with pytest.raises(BadInput, match="are not"):
        kind.of_bytes(tensor.raw_data + b"\0", count)


def test_zeros_at_the_end() -> None:
    assert trailing_zeros(np.array([0, 8, 24], np.uint32)) == 3
    assert trailing_zeros(np.array([0, 1], np.uint64)) == 0 == trailing_zeros(np.zeros(3, np.uint8))
