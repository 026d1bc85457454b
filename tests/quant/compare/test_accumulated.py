"""Every tensor compared: the means of errors, and the tensors that one network alone has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare.accumulated import accumulate, compare_layers
from quant.ir.fixedpoint import dequantize
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


def test_shifts_are_the_mean_errors_of_each_element() -> None:
    graph, x = branches(), images(5, seed=2)
    network = quantize_network(graph, images(4), effort="fast", equalization=None)
    found = accumulate(network, graph, x)
    reference = next(iter(FloatRunner(graph).run(x)))[1]
    fixed = execute(network, quantize_input(network, x), network.tensors)
    assert list(found.shifts) == [tensor.tensor for tensor in found.tensors]
    for name, shift in found.shifts.items():
        wanted = (reference[name] - dequantize(fixed[name], network.tensors[name].fmt.frac)).mean(0)
        np.testing.assert_allclose(shift, wanted, atol=1e-5)
    assert found.left_out == () and compare_layers(network, graph, x) == found.tensors


def test_what_only_the_float_network_has_is_named() -> None:
    graph = branches()
    network = quantize_network(graph, images(4), effort="fast", equalization=None)
    hidden = {name: tensor for name, tensor in network.tensors.items() if name != "left.y"}
    layers = tuple(
        dataclasses.replace(layer.renamed({"left.y": "other"}))
        for layer in network.layers  # type: ignore[type-var]
    )
    tensors = hidden | {"other": dataclasses.replace(network.tensors["left.y"], name="other")}
    found = accumulate(dataclasses.replace(network, tensors=tensors, layers=layers), graph, images(2))
    assert found.left_out == ("left.y",)
    assert {"left.y", "other"}.isdisjoint(tensor.tensor for tensor in found.tensors)


def test_images_of_which_the_float_network_makes_no_numbers() -> None:
    graph = branches()
    network = quantize_network(graph, images(4), effort="fast", equalization=None)
    with pytest.raises(BadInput, match="becomes infinite or NaN on these images"):
        accumulate(network, graph, np.full_like(images(4), 3e38))
