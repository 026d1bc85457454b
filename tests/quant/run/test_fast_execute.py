"""The fast executor against the NumPy reference: equal in every integer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.onnx_import import load
from quant.run import fast_execute
from quant.run.execute import Executor, quantize_input
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.fast_kernels import bytes_are_exact
from quant.search import quantize_network
from tests.quant.fast_checks import FORMS, assert_equal, extremes
from tests.quant.kinds.test_table import FORMATS
from tests.quant.kinds.test_table import network as tables
from tests.sim.networks import random_images, random_inputs, random_network


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    network = random_network(seed, layers=6)
    images = np.concatenate([random_images(network, 3, seed), extremes(network)])
    slow = FastExecutor(network).slow
    assert len(slow) < len(network.layers)
    assert_equal(network, images, slow)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_of_two_inputs(seed: int) -> None:
    network = random_network(seed, layers=5, inputs=2)
    images, every = random_inputs(network, 3, seed), list(network.tensors)
    wanted, found = Executor(network).run(images, every), FastExecutor(network).run(images, every)
    for name, integers in wanted.items():
        np.testing.assert_array_equal(found[name], integers, name)


@pytest.mark.parametrize("data_bits", (8, 16))
def test_residuals_additions_and_averages(data_bits: int) -> None:
    """A network with every kind of layer."""
    random = np.random.default_rng(1)
    fmt, coarse = QFormat(data_bits, 6), QFormat(data_bits, 3)
    shape = (4, 7, 6)

    def layer(name: str, source: str, residual: str | None = None) -> Conv:
        return Conv(name, source, f"{name}_out", random.integers(-8, 8, (4, 4, 3, 3)), np.array([3, 4, 5, 6]), 4,
                    random.integers(-50, 50, 4), Window((3, 3), pads=(1, 1, 1, 1)), 1, (fmt.low // 2, fmt.high - 3),
                    residual)  # fmt: skip

    inside = Window((3, 2), (2, 1), (1, 1, 1, 0))
    layers = (
        layer("a", "x"),
        layer("b", "a_out", "x"),
        Add("add", ("b_out", "x"), "sum", (-90, 99)),
        Pool("max", "sum", "largest", "max", Window((2, 2), pads=(1, 0, 0, 1)), (-5, 40)),
        Pool("mean", "largest", "means", "average", inside, (-4, 30), count_include_pad=False),
        Pool("mean_all", "largest", "all_means", "average", inside, (coarse.low, coarse.high)),
    )
    size = inside.output_size(*Window((2, 2), pads=(1, 0, 0, 1)).output_size(7, 6))
    tensors = {
        "x": Tensor("x", shape, fmt),
        "a_out": Tensor("a_out", shape, fmt),
        "b_out": Tensor("b_out", shape, fmt),
        "sum": Tensor("sum", shape, coarse),
        "largest": Tensor("largest", (4, *Window((2, 2), pads=(1, 0, 0, 1)).output_size(7, 6)), coarse),
        "means": Tensor("means", (4, *size), dataclasses.replace(fmt, frac=5)),
        "all_means": Tensor("all_means", (4, *size), coarse),
    }
    network = Network("all", tensors, layers, ("x",), ("means", "all_means"))
    images = np.concatenate([random_images(network, 20, 3), extremes(network)])
    assert_equal(network, images)


@pytest.mark.parametrize("formats", FORMATS)
def test_tables_and_enlargements(formats: tuple[QFormat, QFormat, QFormat]) -> None:
    network = tables(np.random.default_rng(0), *formats)
    assert_equal(network, np.concatenate([random_images(network, 5, 1), extremes(network)]))


@pytest.mark.parametrize("in_bytes", FORMS)
def test_what_follows_from_tensors_in_the_middle(in_bytes: bool) -> None:
    network = random_network(5, layers=8)
    images = random_images(network, 6, 2)
    executor = FastExecutor(network, threads=1, in_bytes=in_bytes)
    every = Executor(network).run(images, list(network.tensors))
    for layer in network.layers:
        found = executor.run_from({name: every[name] for name in layer.inputs}, [layer.output])
        np.testing.assert_array_equal(found[layer.output], every[layer.output])
    given = {name: every[name] for name in list(network.tensors)[:4]}
    for name, integers in executor.run_from(given, list(network.tensors)[2:]).items():
        np.testing.assert_array_equal(integers, every[name])


def test_bytes_are_taken_only_where_their_products_are_exact(monkeypatch) -> None:
    network = random_network(0)
    assert FastExecutor(network).in_bytes == bytes_are_exact()
    monkeypatch.setattr(fast_execute, "bytes_are_exact", lambda: False)
    assert not FastExecutor(network).in_bytes


@pytest.mark.parametrize("fmt", (QFormat(8, 5), QFormat(16, -3, signed=False), QFormat(8, 90), QFormat(8, -90)))
def test_images_are_quantized_as_the_reference_does_it(fmt: QFormat) -> None:
    network = Network("input", {"x": Tensor("x", (2, 3, 4), fmt)}, (), ("x",), ("x",))
    random = np.random.default_rng(0)
    ties = random.integers(-600, 600, (9, 2, 3, 4)) * fmt.step / 2
    large = random.choice([3e38, -3e38, 1e-45, -0.0, 1.0], (9, 2, 3, 4))
    for images in (np.concatenate([ties, large]).astype(np.float32), random.normal(size=(5, 2, 3, 4))):
        wanted, found = quantize_input(network, images), quantize_images(network, images)
        assert found.dtype == wanted.dtype and np.array_equal(found, wanted)
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantize_images(network, np.full((1, 2, 3, 4), np.nan, np.float32))


def test_memory_is_bounded_by_batches(monkeypatch) -> None:
    network = random_network(3)
    images = random_images(network, 7, 0)
    whole = FastExecutor(network).run(images)
    monkeypatch.setattr(fast_execute, "BATCH_BYTES", 1)
    executor = FastExecutor(network)
    assert executor.batch == 1
    for name, integers in executor.run(images).items():
        np.testing.assert_array_equal(integers, whole[name])
    empty = executor.run(images[:0])
    assert all(array.shape == (0, *network.tensors[name].shape) for name, array in empty.items())


def test_what_cannot_run_is_said() -> None:
    network = random_network(0)
    executor = FastExecutor(network)
    images = random_images(network, 2, 0)
    with pytest.raises(KeyError, match="has no tensor nowhere"):
        executor.run(images, ["nowhere"])
    with pytest.raises(ValueError, match="the network takes integers, not float64"):
        executor.run(images.astype(float))
    with pytest.raises(ValueError, match="the network takes \\(N, "):
        executor.run(images[:, :, 1:])
    last = network.layers[-1].output
    fmt, shape = network.tensors[last].fmt, network.tensors[last].shape
    with pytest.raises(ValueError, match="neither given nor computed from"):
        executor.run_from({last: np.zeros((2, *shape), fmt.dtype)}, [network.layers[0].output])
    with pytest.raises(ValueError, match="one number of them"):
        executor.run_from({last: np.zeros((1, *shape), fmt.dtype), network.inputs[0]: images}, [last])


@pytest.mark.parametrize("name", ("resnet8_cifar10", "resnet20_cifar10", "squeezenet1.1", "mobilenet_v1_0.75",
                                  "mobilenet_v2_1.0"))  # fmt: skip
def test_trained_networks(shared_data, labelled, name: str) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    images = "cifar10_train_2000" if "cifar10" in name else "imagenet_calibration"
    pixels, _ = labelled.load_images(images, limit=2, size=labelled.network_size(str(path)))
    network = quantize_network(load(path), pixels, effort="fast")
    assert_equal(network, np.concatenate([extremes(network)[:1], random_images(network, 1, 0)]),
                 FastExecutor(network).slow)  # fmt: skip
