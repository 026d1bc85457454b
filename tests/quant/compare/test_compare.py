"""Comparisons of fixed with float, each figure against its definition."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from quant.compare import TensorComparison, compare_layers
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import with_scales
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv, FloatConv
from quant.run import fast_execute, float_run
from quant.run.evaluation import accuracy
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.conftest import Trained
from tests.quant.float_graphs import branches, images


def identity(fmt: QFormat, channels: int = 1) -> tuple[Network, FloatGraph]:
    """A network that passes its input on, and one in float."""
    eye = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    shape = (channels, 1, 1)
    layer = FloatConv("pass", "x", "y", eye, np.zeros(channels, np.float32), Window(), 1)
    graph = FloatGraph("net", (layer,), {"x": shape, "y": shape}, ("x",), ("y",))
    zeros = np.zeros(channels, np.int64)
    conv = Conv("pass", "x", "y", eye.astype(np.int64), zeros, 8, zeros, Window(), 1, (fmt.low, fmt.high))
    tensors = {name: Tensor(name, shape, fmt) for name in ("x", "y")}
    return Network("net", tensors, (conv,), ("x",), ("y",)), graph


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def test_every_figure_of_a_few_numbers():
    network, graph = identity(QFormat(8, 2))
    x, y = compare_layers(network, graph, column(1.0, -2.5, 40.0, 0.125, -40.0, 31.75))
    errors = [0, 0, 8.25, 0.125, -8, 0]  # 40 becomes 31.75, 0.125 ties to 0, -40 becomes -32
    signal = 1 + 2.5**2 + 40**2 + 0.125**2 + 40**2 + 31.75**2
    assert (x.layer, x.tensor, y.layer, y.tensor) == ("", "x", "pass", "y")
    assert dataclasses.replace(y, spread=None) == TensorComparison(
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
        spread=None,
    )


def test_half_a_unit_beyond_the_format_is_rounding_and_not_saturation():
    network, graph = identity(QFormat(8, 0))
    found = compare_layers(network, graph, column(127.5, 127.51, -128.5, -128.51))[1]
    assert found.saturated == 2 / 4


def test_what_a_tensor_holds():
    network, graph = identity(QFormat(8, 2), channels=4)
    x = np.zeros((3, 4, 1, 1), np.float32)
    x[0, :, 0, 0] = 8, -2, 0.5, 100
    found = compare_layers(network, graph, x)[1].spread
    assert (found.low, found.high, found.largest) == (-2, 100, 100)
    assert found.median_channel == (8 + 2) / 2 / 100
    assert found.percentile == pytest.approx(np.percentile(np.abs(x), 99.99))
    assert (
        found.histogram_step == 0.5 and found.histogram_low == -64
    )  # -32 to 32 in 128 bins, half as many on each side
    filled = {place: count for place, count in enumerate(found.histogram) if count}
    assert filled == {128 + 16: 1, 128 - 4: 1, 128 + 1: 1, 255: 1, 128: 8}  # 100 lies beyond the last bin


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
    network = quantize_network(graph, images(6), equalization=None)
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
        beyond = ((got == low) & (wanted < low - fmt.step / 2)) | ((got == high) & (wanted > high + fmt.step / 2))
        assert comparison.saturated == beyond.mean()
        assert (comparison.float_low, comparison.float_high) == (wanted.min(), wanted.max())
    assert any(c.saturated > 0 for c in found)


def test_the_scales_of_an_equalized_network_are_taken_out(rng: np.random.Generator):
    graph = branches()
    network = quantize_network(graph, images(4))
    scales = {name: rng.uniform(0.5, 2, t.shape[0]) for name, t in network.tensors.items()}
    x, network = images(3), with_scales(network, scales)
    fixed = execute(network, quantize_input(network, x), network.tensors)
    reference = next(iter(FloatRunner(graph).run(x)))[1]
    for found in compare_layers(network, graph, x):
        fmt, s = network.tensors[found.tensor].fmt, scales[found.tensor].reshape(-1, 1, 1)
        wanted = reference[found.tensor].astype(float)
        got = dequantize(fixed[found.tensor], fmt.frac) / s
        assert found.sqnr_db == pytest.approx(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))
        assert found.max_abs_error == pytest.approx(np.abs(wanted - got).max())
        assert found.spread.largest == pytest.approx(np.abs(wanted * s).max())
        assert (found.float_low, found.float_high) == (wanted.min(), wanted.max())


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
        ours, theirs = ({**vars(found), **vars(found.spread), "spread": None} for found in (one, two))
        assert theirs == {k: pytest.approx(v, rel=1e-5) if isinstance(v, float) else v for k, v in ours.items()}
    assert accuracy(network, graph, x, labels, lambda *step: steps.append(step)) == answers
    assert steps == [(stage, done, 5) for stage in ("compare", "accuracy") for done in range(1, 6)]


def test_a_trained_network_keeps_its_answers(resnet8: Trained):
    result = accuracy(resnet8.network, resnet8.graph, resnet8.images, resnet8.labels)
    assert result.agreement >= 0.95 and result.float_top1 >= 0.8
    assert compare_layers(resnet8.network, resnet8.graph, resnet8.images)[-1].sqnr_db > 28
