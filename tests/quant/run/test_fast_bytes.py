"""Tensors as bytes: their zero point, conversions to and from float32, models of some layers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quant.ir.fixedpoint import QFormat
from quant.run.execute import execute
from quant.run.fast_bytes import ByteWriter, fast_model, fits_bytes, zero_point
from quant.run.session import Session
from tests.quant.integer_nets import S8, U8, Net


def network():
    net = Net((2, 4, 4), S8)
    one, other = net.conv("x", 2, U8), net.conv("x", 2, QFormat(12, 5))
    return net.network(net.add(one, other, QFormat(8, 3)), other)


@pytest.mark.parametrize(
    ("fmt", "bits", "zero"), [(S8, True, 128), (U8, True, 0), (QFormat(9, 0), False, 128), (QFormat(4, 0), True, 128)]
)
def test_which_formats_stand_as_bytes(fmt: QFormat, bits: bool, zero: int) -> None:
    assert fits_bytes(fmt) == bits and zero_point(fmt) == zero


@pytest.mark.parametrize("in_bytes", [False, True])
def test_every_integer_whether_tensors_stand_as_bytes_or_not(rng: np.random.Generator, in_bytes: bool) -> None:
    made = network()
    x = rng.integers(-128, 128, (3, 2, 4, 4))
    model = fast_model(made, made.layers, ["x"], list(made.outputs), in_bytes)
    onnx.checker.check_model(model, full_check=True)
    given = (x + 128).astype(np.uint8) if in_bytes else x.astype(np.float32)
    found = Session(model, "net").run(list(made.outputs), {"x": given})
    wanted = execute(made, x, made.outputs)
    for name, values in zip(made.outputs, found, strict=True):
        narrow = in_bytes and fits_bytes(made.tensors[name].fmt)
        assert np.asarray(values).dtype == (np.uint8 if narrow else np.float32)
        integers = np.asarray(values).astype(np.int64) - (zero_point(made.tensors[name].fmt) if narrow else 0)
        np.testing.assert_array_equal(integers, wanted[name], name)


def test_bounds_of_a_tensor_as_it_stands() -> None:
    made = network()
    writer, wide = ByteWriter(made), made.outputs[1]
    low, high = (onnx.numpy_helper.to_array(writer.constants[name]) for name in writer.limits((-5, 90), "x"))
    assert (low, high, low.dtype) == (123, 218, np.uint8)
    low, high = (onnx.numpy_helper.to_array(writer.constants[name]) for name in writer.limits((-5, 90), wide))
    assert (low, high, low.dtype) == (-5, 90, np.float32)
    assert writer.in_bytes("x") and not writer.in_bytes("x", wide)
    assert writer.standing("x") == (128, np.uint8) and writer.standing(wide) == (0, np.float32)
