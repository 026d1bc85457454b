"""Saved files in ONNX Runtime with its default optimizations, which put kernels of bytes in the place of float ones."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.evaluation import agreement
from quant import qdq
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from quant.onnx_import import load
from quant.run.execute import execute, quantize_input
from quant.run.fast_kernels import bytes_are_exact
from quant.search import quantize_network
from tests.quant.integer_nets import Net
from tests.sim.networks import random_images, random_network

needs_exact_bytes = pytest.mark.skipif(
    not bytes_are_exact(), reason="ONNX Runtime's kernels of bytes saturate on this processor (x86 without VNNI)"
)


def optimized(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def assert_equal(network: Network) -> None:
    fmt = network.tensors[network.inputs[0]].fmt
    images = (random_images(network, 4, 0) * fmt.step).astype(np.float32)
    ours = execute(network, quantize_input(network, images))
    theirs = optimized(qdq.to_model(network)).run(None, {network.inputs[0]: images})
    for name, found in zip(network.outputs, theirs, strict=True):
        integers = found / network.tensors[name].fmt.step
        np.testing.assert_array_equal(integers.reshape(-1), ours[name].reshape(-1), name)


@needs_exact_bytes
@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int) -> None:
    assert_equal(random_network(seed, 5))


@needs_exact_bytes
def test_signed_tensors_that_are_reshaped() -> None:
    """ONNX Runtime 1.32 refused these before the reshaped tensor had a QuantizeLinear of its own."""
    net = Net((2, 4, 4), QFormat(8, 4))
    flat = net.gemm(net.gemm("x", 6, QFormat(8, 2)), 4, QFormat(8, 1))
    network = net.network(net.pool(flat, "average", Window((1, 1)), fmt=QFormat(8, 2)), flat)
    assert_equal(network)


@pytest.mark.verify
@pytest.mark.parametrize("name", ("squeezenet1.1", "mobilenet_v1_0.75", "mobilenet_v2_1.0", "resnet20_cifar10",
                                  "resnet8_cifar10"))  # fmt: skip
@needs_exact_bytes
def test_trained_networks_keep_their_answers(shared_data, labelled, name: str) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    cifar = "cifar10" in name

    def images(part: str, count: int) -> np.ndarray:
        pixels, _ = labelled.load_images(part, count, labelled.network_size(str(path)))
        return labelled.preprocess(pixels, str(path))

    network = quantize_network(load(path), images("cifar10_train_2000" if cifar else "imagenet_calibration", 20))
    found = agreement(network, [images("cifar10_test", 2000) if cifar else images("nips17", 1000)], 0)
    assert found["agreement"] >= 0.999
