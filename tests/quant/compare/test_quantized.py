"""One layer of the integer network on float inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare.quantized import QuantizedLayer, Storage, equalization, quantized_layer
from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.kinds.conv import convolution, float_convolution
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


@pytest.fixture(scope="module")
def pair() -> tuple[Network, FloatGraph]:
    graph = branches()
    return quantize_network(graph, images(4), effort="fast", equalization=None), graph


def found(pair: tuple[Network, FloatGraph], name: str, scales: dict[str, np.ndarray] | None = None):
    network, graph = pair
    ones = {tensor: np.ones(shape[0]) for tensor, shape in graph.shapes.items()}
    layer = next(layer for layer in graph.layers if layer.name == name)
    return quantized_layer(network, ones | (scales or {}), layer)


def test_stored_values_are_those_of_the_format(rng: np.random.Generator) -> None:
    fmt, scales = QFormat(8, 3), np.array([1.0, 0.25])
    storage = Storage(fmt, (-10, 100), scales)
    values = rng.normal(0, 8, (3, 2, 4, 4)).astype(np.float32)
    codes = storage.codes(values)
    wanted = np.clip(quantize(values * scales.reshape(-1, 1, 1), fmt), -10, 100)
    np.testing.assert_array_equal(codes, wanted)
    np.testing.assert_allclose(storage.values(codes), dequantize(wanted, 3) / scales.reshape(-1, 1, 1), rtol=1e-6)


def test_weights_and_bias_are_what_the_integers_stand_for(pair: tuple[Network, FloatGraph]) -> None:
    network, _ = pair
    quantized = found(pair, "body", {"stem.y": np.full(8, 0.5), "body.y": np.full(8, 2.0)})
    fixed = convolution(network.producer("body.y"))
    assert quantized is not None and fixed is not None and quantized.conv is fixed
    layer = float_convolution(quantized.layer)
    assert layer is not None
    np.testing.assert_allclose(layer.weight, dequantize(fixed.weight, fixed.weight_frac.reshape(-1, 1, 1, 1)) / 4)
    source = network.tensors["stem.y"].fmt.frac
    np.testing.assert_allclose(layer.bias, dequantize(fixed.bias, source + fixed.weight_frac) / 2)
    assert quantized.storage.fmt == network.tensors["body.y"].fmt and quantized.storage.clip == fixed.clip


def test_layers_that_compute_nothing_or_are_not_there_have_no_counterpart(pair: tuple[Network, FloatGraph]) -> None:
    assert found(pair, "cat") is None and found(pair, "half") is None
    network, graph = pair
    fewer = dataclasses.replace(network, layers=network.layers[:2])
    assert found((fewer, graph), "added") is None
    sum_ = found(pair, "added")
    assert sum_ is not None and sum_.conv is None and sum_.layer.name == "added"


def test_operands_of_a_sum_have_its_scales(pair: tuple[Network, FloatGraph]) -> None:
    with pytest.raises(BadInput, match=r"^layer joined: stem\.y and joined\.y have different scales, but one is added"):
        found(pair, "joined", {"stem.y": np.full(8, 2.0)})
    with pytest.raises(BadInput, match=r"^layer added: .* have different scales"):
        found(pair, "added", {"signed.y": np.full(12, 2.0)})


def test_equalization_is_the_output_over_the_input_of_each_group() -> None:
    graph = branches()
    layer = float_convolution(next(layer for layer in graph.layers if layer.name == "right"))
    assert layer is not None
    source, target = np.arange(1.0, 9), np.full(8, 2.0)
    np.testing.assert_allclose(equalization(layer, source, target).reshape(-1), target / source)


def test_a_separate_sum_rounds_twice() -> None:
    between, end = (Storage(QFormat(8, frac), (-128, 127), np.ones(1)) for frac in (0, 1))
    layer = branches().layers[2]
    quantized = QuantizedLayer(layer, end, between)
    values, residual = np.full((1, 1, 1, 1), 1.4, np.float32), np.full((1, 1, 1, 1), 0.25, np.float32)
    assert quantized.codes(values, residual).item() == 2  # 1.4 is 1 first, then 1.25 ties to 1.0
    assert quantized.bare(layer).inputs == layer.inputs[:1]
    assert QuantizedLayer(layer, end).bare(layer) is layer
