"""Layers of quantized files whose sums float32 does not hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant import qdq
from quant.ir.fixedpoint import QFormat
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.run.execute import execute, quantize_input
from tests.quant.integer_nets import S8, Net, images


def test_layers_that_float32_computes_exactly_are_told() -> None:
    net = Net((64, 4, 4), QFormat(8, 4, signed=False))
    few = net.conv("x", 2, S8)
    many = net.conv("x", 2, S8, window=Window((4, 4)), bits=12)
    mean = net.pool("x", "average", Window((4, 4)), QFormat(16, 12))
    network = net.network(few, many, mean)
    assert qdq.beyond_float32(network) == ("conv_t1",)
    net.tensors["x"] = Tensor("x", (64, 4, 4), QFormat(16, 4, signed=False))
    net.tensors[mean] = Tensor(mean, (64, 1, 1), QFormat(16, 12, signed=False))
    assert qdq.beyond_float32(network) == ("conv_t0", "conv_t1")
    net.layers[2] = dataclasses.replace(net.layers[2], window=Window((16, 8)))  # type: ignore[arg-type,call-arg]
    assert qdq.beyond_float32(net.network(few)) == ("conv_t0", "conv_t1", "pool_t2")


@pytest.mark.parametrize("include", [True, False])
def test_16_bit_networks_are_exact_in_float64(include: bool) -> None:
    fmt = QFormat(16, 11)
    net = Net((8, 7, 6), fmt, seed=int(include))
    window = Window((3, 2), (2, 1), (1, 0, 2, 1), (2, 1))
    y = net.conv("x", 8, QFormat(16, 3, signed=False), window=window, groups=4, bits=16, clip=(0, 60000))
    z = net.conv("x", 8, QFormat(16, 4), window=window, groups=8, bits=16, residual=y)
    pooled = net.pool(net.add(y, z, QFormat(16, 5), (-32768, 30000)), "average", Window((3, 3), pads=(1, 2, 0, 1)),
                      QFormat(16, 9), include)  # fmt: skip
    flat = net.gemm(net.pool(pooled, "max", Window((2, 2))), 6, QFormat(16, 1), bits=16)
    layer = dataclasses.replace(net.layers[0], bias=np.arange(8) + (1 << 30) + 1)  # type: ignore[call-arg]
    net.layers[0] = layer
    network = net.network(flat)
    model = qdq.to_model(network)
    wide = [layer.name for layer in network.layers if layer.name != "pool_t4"]
    assert set(qdq.beyond_float32(network)) <= set(wide)
    x = images(network, 20)
    ours = execute(network, quantize_input(network, x), keep=network.tensors)
    theirs = qdq.run_layers(model, x, wide=wide)
    narrow = qdq.run_layers(model, x)
    for name, integers in theirs.items():
        np.testing.assert_array_equal(integers, ours[name], err_msg=name)
    assert any((narrow[name] != ours[name]).any() for name in ours)  # so the test would see a sum in float32
    with pytest.raises(ValueError, match="^no layer that sums is called pool_t4$"):
        qdq.run_layers(model, x, wide=["pool_t4"])
