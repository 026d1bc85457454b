"""Quantized files in ONNX Runtime: images that they cannot take, and the integers that come back."""

from __future__ import annotations

import numpy as np
import pytest

from quant import qdq
from quant.base.errors import BadInput
from quant.ir.window import Window
from quant.run.execute import execute, quantize_input
from tests.quant.integer_nets import S8, U8, Net, images


def network():
    net = Net((2, 4, 4), S8)
    return net.network(net.conv(net.pool(net.conv("x", 2, U8), "max", Window((2, 2))), 2, S8))


def test_every_tensor_by_name_in_batches() -> None:
    net = network()
    x = images(net, 5)
    found = qdq.run_layers(qdq.to_model(net), x, batch=2)
    wanted = execute(net, quantize_input(net, x), net.tensors)
    assert list(found) == list(net.tensors)
    assert all((found[name] == wanted[name]).all() and found[name].dtype == np.int64 for name in found)


def test_images_that_do_not_fit() -> None:
    model = qdq.to_model(network())
    with pytest.raises(BadInput, match=r"^net: takes images \(N, 2, 4, 4\), not \(1, 2, 4, 5\)$"):
        qdq.run_layers(model, np.zeros((1, 2, 4, 5)))
    with pytest.raises(BadInput, match=r"^net: the images have NaN or infinite values$"):
        qdq.run_layers(model, np.full((1, 2, 4, 4), np.nan))
