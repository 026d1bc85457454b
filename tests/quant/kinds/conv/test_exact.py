"""Convolutions that ONNX Runtime computes exactly: in bytes, in float32, in digits."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv, rules
from quant.run.execute import Executor
from quant.run.fast_bytes import fast_model
from tests.quant.fast_checks import assert_equal, extremes
from tests.sim.networks import random_images


def one_layer(weight: np.ndarray, source: QFormat, out: QFormat, frac: int | np.ndarray, **options) -> Network:
    """A convolution of a map of 6 x 5 pixels."""
    outputs, inputs = weight.shape[:2]
    window = options.pop("window", Window(weight.shape[2:]))
    bias = options.pop("bias", np.zeros(outputs, np.int64))
    shape = (outputs, *window.output_size(6, 5))
    residual = options.pop("residual", None)
    bits = options.pop("weight_bits", 8)
    tensors = {"x": Tensor("x", (inputs, 6, 5), source), "y": Tensor("y", shape, out)}
    layer = Conv("conv", "x", "y", weight, np.broadcast_to(frac, outputs).astype(np.int64), bits, bias, window, 1,
                 (out.low, out.high), residual, **options)  # fmt: skip
    return Network("one", tensors, (layer,), ("x",), ("y",))


@pytest.mark.parametrize("bits", (4, 8))
@pytest.mark.parametrize("shift", (-9, -1, 0, 1, 4, 12, 24, 40, 120))
def test_shifts_of_either_sign(bits: int, shift: int) -> None:
    random = np.random.default_rng(shift + 9)
    weight = random.integers(-(1 << bits - 1), 1 << bits - 1, (5, 7, 3, 3))
    bias = random.integers(-(1 << 10), 1 << 10, 5)
    network = one_layer(weight, QFormat(8, 3), QFormat(8, 0), shift - 3 + np.arange(5) % 2, bias=bias)
    assert_equal(network, np.concatenate([random_images(network, 4, 1), extremes(network)]))


def test_ties_round_to_even() -> None:
    """Every accumulator of 8 bits, halved and quartered: a half of all quotients are ties."""
    weight = np.array([1, 2, 3, -1]).reshape(4, 1, 1, 1)
    network = one_layer(weight, QFormat(8, 0), QFormat(16, 0), np.array([1, 2, 1, 1]))
    images = np.arange(-128, 127, dtype=np.int8)[: 8 * 30].reshape(8, 1, 6, 5)
    assert_equal(network, images)


def test_sums_up_to_what_float32_counts_and_beyond() -> None:
    """At the bound all is exact in float32; one more, and it is computed in digits."""
    data, out = QFormat(8, 0, signed=False), QFormat(16, 0)
    for taps in (518, 519):
        weight = np.full((2, taps, 1, 1), 127)
        weight[1] = -127
        network = one_layer(weight, data, out, 9, bias=np.array([0, 0]))
        x = extremes(network)
        x[0, 0] -= 1
        whole = network.layers[0].in_float32(network.tensors, tensor_bounds(network))  # type: ignore[attr-defined]
        assert whole == (taps == 518)
        assert_equal(network, x)


@pytest.mark.parametrize(("data", "weights"), ((8, 16), (16, 4), (16, 8), (16, 16)))
@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("shape", ((6, 5, 3, 3), (4, 300, 1, 1)))
def test_wide_data_and_weights_in_digits(data: int, weights: int, signed: bool, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(data + weights)
    half = 1 << weights - 1
    weight = random.integers(-half, half, shape)
    weight[0], weight[1] = half - 1, -half
    bias = random.integers(-(1 << 30), 1 << 30, shape[0])
    fmt = QFormat(data, 3, signed)
    shift = data + weights - 3 + int(np.log2(np.prod(shape[1:]))) // 2 - 16
    network = one_layer(weight, fmt, QFormat(16, 0), shift + np.arange(shape[0]) % 2,
                        bias=bias >> 30 - data - weights, weight_bits=weights)  # fmt: skip
    images = np.concatenate([random_images(network, 4, 1), extremes(network)])
    assert_equal(network, images)
    assert len(np.unique(Executor(network).run(images)["y"])) > 100


def test_large_fully_connected_layers_are_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """In digits, since their sums leave float32, and exact as the convolution that they are."""
    random = np.random.default_rng(3)
    weight = random.integers(-128, 128, (4, 120, 6, 5)).astype(np.int8)
    bias = random.integers(-1000, 1000, 4)
    network = one_layer(weight, QFormat(8, 0, signed=False), QFormat(8, 0), 14, bias=bias, op="Gemm")
    images = np.concatenate([random_images(network, 4, 1), extremes(network)])
    assert_equal(network, images)
    monkeypatch.setattr(rules, "MATRIX", weight.size)
    model = fast_model(network, network.layers, ["x"], ["y"], in_bytes=True)
    operators = {node.op_type for node in model.graph.node}
    assert "Gemm" in operators and "Conv" not in operators
    assert_equal(network, images)
