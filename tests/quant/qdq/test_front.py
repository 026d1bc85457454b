"""The input of a quantized file: its shape, and what multiplies it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.scales import tensor_scales, with_scales
from quant.onnx_file.view import View
from quant.qdq import load
from quant.qdq.front import Front, read_front, stated
from tests.quant.elsewhere import Graph
from tests.quant.integer_nets import S8, Net


def front(g: Graph, y: str) -> Front:
    model = g.model(y)
    return read_front(View(model), model.graph.input[0])


def scaled(shape: tuple[int, ...], factors: object, swapped: bool = False) -> Front:
    g = Graph(shape)
    inputs = ["x", g.constant("factors", factors)]
    return front(g, g.quantized(g.node("Mul", *inputs[:: -1 if swapped else 1], out="y"), 3))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2,)])
def test_an_input_as_it_is(shape: tuple[int, ...]) -> None:
    g = Graph(shape)
    found = front(g, g.quantized("x", 3))
    assert (found.source, found.real, found.own) == ("x", "x", shape)
    assert found.shape == (2, 3, 4) if len(shape) == 3 else found.shape == (2, 1, 1)
    assert found.scales.tolist() == [1, 1]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("factors", [[[[[0.5]], [[2.0]]]], [[[0.5]], [[2.0]]]])
def test_one_number_for_each_channel(factors: list, swapped: bool) -> None:
    found = scaled((2, 3, 4), factors, swapped)
    assert found.scales.tolist() == [0.5, 2] and found.real == "y"
    assert scaled((2, 3, 4), 0.25).scales.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("factors", [[[[[0.5]], [[-2.0]]]], 0.0, np.inf, np.nan, [1.0, 2.0, 3.0, 4.0]])
def test_anything_else_that_multiplies_is_refused(factors: object) -> None:
    with pytest.raises(UnsupportedNetwork, match=r"^y\.node \(Mul\): an input is multiplied by one positive number"):
        scaled((2, 3, 4), factors)


def test_a_row_is_reshaped_to_a_map_first() -> None:
    g = Graph((2, 5))
    row = g.node("Unsqueeze", "x", g.constant("axes", [2], np.int64), out="row")
    found = front(g, g.quantized(row, 3))
    assert (found.own, found.real, found.shape) == ((2, 1, 5), "row", (2, 1, 5))
    g = Graph((2, 5))
    with pytest.raises(UnsupportedNetwork, match="^input x of one dimension is not reshaped to a map of one row"):
        front(g, g.quantized("x", 3))


def test_sizes_that_are_open_are_no_shape() -> None:
    g = Graph((2, 3, 4))
    model = g.model(g.quantized("x", 3))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    with pytest.raises(BadInput, match="^input x has no fixed shape"):
        read_front(View(model), model.graph.input[0])


def test_scales_and_metadata_say_the_same() -> None:
    net = Net((2, 4, 4), S8)
    network = net.network(net.conv("x", 2, S8))
    own = Front("x", (2, 4, 4), "x", np.array([0.5, 2.0]))
    found = stated(network, [own])
    assert tensor_scales(found)["x"].tolist() == [0.5, 2]
    assert stated(found, [own]) is found
    other = dataclasses.replace(own, scales=np.array([0.5, 4.0]))
    with pytest.raises(BadInput, match="contradict what multiplies input x$"):
        stated(with_scales(network, {**tensor_scales(network), "x": np.array([0.5, 2.0])}), [other])


def test_an_input_of_more_elements_than_anything_is_worked_on() -> None:
    g = Graph((3, 9, 8))
    model = g.model(g.quantized("x", 3))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 62
    with pytest.raises(BadInput, match=r"^input x is 4611686018427387904x9x8, more than 33,554,432 elements, the most"):
        read_front(View(model), model.graph.input[0])


def test_an_output_that_is_the_input() -> None:
    g = Graph((3, 9, 8))
    quantized = g.node("QuantizeLinear", "x", *(g.constant("s", np.float32(0.5)), g.constant("z", 0, np.int8)))
    g.quantized(g.node("MaxPool", g.node("DequantizeLinear", quantized, "s", "z"), kernel_shape=[2, 2]), 1)
    with pytest.raises(UnsupportedNetwork, match="is the input as it is: no layer computes it"):
        load(g.model(g.node("DequantizeLinear", quantized, "s", "z")))
