"""LRN in tables, convolutions and a product: the same as ONNX Runtime in float, near it as integers."""

from __future__ import annotations

import numpy as np
import pytest

from quant import qdq
from quant.kinds.table import FloatTable
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.onnx_nets import Net, checked, message


@pytest.mark.parametrize(
    ("size", "numbers"),
    [
        (5, {"alpha": 2.0}),
        (3, {"alpha": 0.5, "beta": 0.5, "bias": 2.0}),
        (7, {"alpha": 8.0}),
        (1, {}),
        (19, {"bias": 1.5}),
    ],
)
def test_onnx_runtime_gives_the_same(size: int, numbers: dict[str, float]) -> None:
    """In float, on both sides of what each table covers: sums go from 0 to some 50."""
    net = Net(3, 7, 6)
    y = net.node("LRN", net.conv("x", 9, 3, (3, 3)), size=size, **numbers)
    graph = checked(net.model(net.conv(y, 4, 9)))
    assert sum(isinstance(layer, FloatTable) for layer in graph.layers) == 4


def test_of_signed_data_at_the_end() -> None:
    net = Net(4, 9, 5)
    checked(net.model(net.node("LRN", "x", size=3, alpha=3.0)))


def signal(error: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / (error**2).sum()))


@pytest.mark.parametrize(("alpha", "most"), [(1e-4, 0.5), (0.02, 1.0)])
def test_it_loses_little_beyond_what_data_of_8_bits_lose(alpha: float, most: float) -> None:
    """Against the same function, exact, of the integers that it reads, and its results rounded into the same format."""
    net = Net(3, 12, 12)
    y = net.node("Relu", net.conv("x", 24, 3, (3, 3), pads=[1] * 4))
    y = net.node("LRN", y, size=5, alpha=alpha)
    graph = checked(net.model(net.conv(y, 5, 24)))
    images = np.random.default_rng(2).normal(size=(24, 3, 12, 12)).astype(np.float32) * 2
    network = quantize_network(graph, images[:16])
    product = network.layers[-2]
    read, result = product.inputs[0], product.output
    ints = execute(network, quantize_input(network, images[16:]), [read, result])
    x, found = (ints[name] * network.tensors[name].fmt.step for name in (read, result))
    wanted = np.concatenate([run[result] for _, run in FloatRunner(graph).run(images[16:])])
    squares = np.pad(x**2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    z = alpha / 5 * sum(squares[:, k : k + 24] for k in range(5))
    fmt = network.tensors[result].fmt
    exact = np.clip(np.rint(x * (1 + z) ** -0.75 / fmt.step), fmt.low, fmt.high) * fmt.step
    assert signal(found - wanted, wanted) > signal(exact - wanted, wanted) - most


def test_its_quantized_file_gives_the_same_integers() -> None:
    net = Net(3, 8, 8)
    y = net.node("LRN", net.node("Relu", net.conv("x", 8, 3, (3, 3))), size=5, alpha=1.0)
    graph = checked(net.model(net.conv(net.node("MaxPool", y, kernel_shape=[2, 2]), 5, 8)))
    images = np.random.default_rng(2).normal(size=(16, 3, 8, 8)).astype(np.float32)
    network = quantize_network(graph, images)
    model = qdq.to_model(network)
    ours = execute(network, quantize_input(network, images[:4]), list(network.tensors))
    theirs = qdq.run_layers(model, images[:4], wide=qdq.beyond_float32(network))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_what_may_divide_by_zero_is_refused() -> None:
    net = Net(3, 4, 4)
    y = net.node("LRN", net.conv("x", 3, 3), size=3, bias=0.0, name="norm")
    assert message(net.model(y)).startswith(
        "net: 1 node is not supported: norm (LRN: its size is 3, alpha 0.0001, bias 0"
    )
