"""Comparisons of fixed with float, each figure against its definition."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from quant import fast_execute, float_run
from quant.compare import TensorComparison, compare_layers
from quant.evaluation import accuracy
from quant.execute import execute, quantize_input
from quant.fixedpoint import QFormat, dequantize
from quant.float_run import FloatRunner
from quant.graph import FloatConv, FloatGraph
from quant.network import Conv, Network, Tensor, Window
from quant.onnx_import import load
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


def identity(fmt: QFormat, channels: int = 1) -> tuple[Network, FloatGraph]:
    """A network that passes its input on, and one in float."""
    eye = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    shape = (channels, 1, 1)
    layer = FloatConv("pass", "x", "y", eye, np.zeros(channels, np.float32), Window(), 1)
    graph = FloatGraph("net", (layer,), {"x": shape, "y": shape}, "x", ("y",))
    zeros = np.zeros(channels, np.int64)
    conv = Conv("pass", "x", "y", eye.astype(np.int64), zeros, 8, zeros, Window(), 1, (fmt.low, fmt.high))
    tensors = {name: Tensor(name, shape, fmt) for name in ("x", "y")}
    return Network("net", tensors, (conv,), "x", ("y",)), graph


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def test_every_figure_of_a_few_numbers():
    network, graph = identity(QFormat(8, 2))
    x, y = compare_layers(network, graph, column(1.0, -2.5, 40.0, 0.125, -40.0, 31.75))
    errors = [0, 0, 8.25, 0.125, -8, 0]  # 40 becomes 31.75, 0.125 ties to 0, -40 becomes -32
    signal = 1 + 2.5**2 + 40**2 + 0.125**2 + 40**2 + 31.75**2
    assert (x.layer, x.tensor, y.layer, y.tensor) == ("", "x", "pass", "y")
    assert y == TensorComparison(
        layer="pass",
        tensor="y",
        format="s8.2",
        sqnr_db=pytest.approx(10 * math.log10(signal / sum(e * e for e in errors))),
        max_abs_error=8.25,
        cosine=pytest.approx(0.99, abs=0.01),
        saturated=2 / 6,  # 31.75 stands at the bound and does not lie beyond it
        unused_bits=0,
        float_low=-40.0,
        float_high=40.0,
    )


@pytest.mark.parametrize(
    ("values", "fmt", "unused"),
    [
        ((0.0, 0.0), QFormat(8, 0), 7),
        ((1.0, 0.0), QFormat(8, 0), 6),
        ((3.0, -4.0), QFormat(8, 0), 5),
        ((3.0, -5.0), QFormat(8, 0), 4),
        ((127.0, 0.0), QFormat(8, 0), 0),
        ((0.0, -128.0), QFormat(8, 0), 0),
        ((127.0, 0.0), QFormat(8, 0, signed=False), 1),
        ((255.0, 0.0), QFormat(8, 0, signed=False), 0),
        ((1000.0, 0.0), QFormat(16, 0), 5),
    ],
)
def test_unused_bits(values, fmt, unused):
    network, graph = identity(fmt)
    assert compare_layers(network, graph, column(*values))[1].unused_bits == unused


def test_without_error_or_signal_there_is_no_ratio():
    network, graph = identity(QFormat(8, 2))
    exact = compare_layers(network, graph, column(1.0, 0.25))[1]
    assert exact.sqnr_db is None and exact.max_abs_error == 0 and exact.cosine == pytest.approx(1)
    nothing = compare_layers(network, graph, column(0.0, 0.0))[1]
    assert nothing.sqnr_db is None and nothing.cosine == 1
    lost = compare_layers(network, graph, column(0.1, 0.0))[1]
    assert lost.sqnr_db == 0 and lost.cosine == 0
    json.dumps([dataclasses.asdict(c) for c in (exact, nothing, lost)], allow_nan=False)


def test_all_tensors_of_a_network_by_definition():
    graph = branches()
    network = quantize_network(graph, images(6))
    x = images(9, seed=3) * np.float32(1.5)
    fixed = execute(network, quantize_input(network, x), network.tensors)
    parts = [tensors for _, tensors in FloatRunner(graph).run(x)]
    found = compare_layers(network, graph, x)
    assert [c.tensor for c in found] == ["x", *(layer.output for layer in network.layers)]
    assert [c.layer for c in found] == ["", *(layer.name for layer in network.layers)]
    for comparison in found:
        fmt = network.tensors[comparison.tensor].fmt
        wanted = np.concatenate([part[comparison.tensor] for part in parts]).astype(float)
        got = dequantize(fixed[comparison.tensor], fmt.frac)
        assert comparison.sqnr_db == pytest.approx(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))
        assert comparison.max_abs_error == np.abs(wanted - got).max()
        product = (wanted * got).sum() / np.sqrt((wanted**2).sum() * (got**2).sum())
        assert comparison.cosine == pytest.approx(product)
        low, high = dequantize(np.array([fmt.low, fmt.high]), fmt.frac)
        beyond = ((got == low) & (wanted < low)) | ((got == high) & (wanted > high))
        assert comparison.saturated == beyond.mean()
        assert (comparison.float_low, comparison.float_high) == (wanted.min(), wanted.max())
    assert any(c.saturated > 0 for c in found)


def test_batches_change_nothing_but_progress(monkeypatch):
    graph = branches()
    network = quantize_network(graph, images(4))
    x = images(5)
    labels = np.array([1, 2, 3, 4, 5])
    whole, answers = compare_layers(network, graph, x), accuracy(network, graph, x, labels)
    monkeypatch.setattr(float_run, "BATCH_BYTES", 1)
    monkeypatch.setattr(fast_execute, "BATCH_BYTES", 1)
    steps = []
    pieces = compare_layers(network, graph, x, lambda *step: steps.append(step))
    for one, two in zip(whole, pieces, strict=True):
        assert vars(two) == {k: pytest.approx(v, rel=1e-5) if isinstance(v, float) else v for k, v in vars(one).items()}
    assert accuracy(network, graph, x, labels, lambda *step: steps.append(step)) == answers
    assert steps == [(stage, done, 5) for stage in ("compare", "accuracy") for done in range(1, 6)]


def test_a_trained_network_keeps_its_answers(shared_data, monkeypatch):
    """resnet8 on CIFAR-10: 8-bit formats from 50 images, judged on 100 others."""
    monkeypatch.syspath_prepend(str(shared_data))
    import load as labelled

    path = shared_data / "models" / "resnet8_cifar10.onnx"
    calibration, _ = labelled.load_images("cifar10_train_2000", limit=50)
    pixels, labels = labelled.load_images("cifar10_test", limit=100)
    graph = load(path)
    network = quantize_network(graph, calibration)  # raw pixels: the metadata says what to do with them
    x = labelled.preprocess(pixels, str(path))
    result = accuracy(network, graph, x, labels)
    assert result.agreement >= 0.95 and result.float_top1 >= 0.8
    assert compare_layers(network, graph, x)[-1].sqnr_db > 28
