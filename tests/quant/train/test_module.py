"""Whole networks as modules, and their weights back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quant import onnx_import
from quant.base.errors import UnsupportedNetwork
from quant.ir.well_formed import well_formed
from quant.train import module as modules
from quant.train.module import GraphModule
from tests.quant.float_graphs import branches, images
from tests.quant.train.nets import net, weights
from tests.quant.train.test_operators import agree


def test_every_kind_together() -> None:
    agree(branches(), images(3))


@pytest.mark.parametrize("name", ["resnet8_cifar10", "resnet20_cifar10", "kws_dscnn", "ad01_autoencoder", "vww96"])
def test_real_networks(shared_data: Path, name: str, rng: np.random.Generator) -> None:
    graph = onnx_import.load(shared_data / "models" / f"{name}.onnx")
    agree(graph, rng.normal(size=(2, *graph.shapes[graph.inputs[0]])).astype(np.float32))


def test_weights_come_back_as_they_are() -> None:
    graph = net()
    made = GraphModule(graph)
    for name, own in weights(well_formed(made.trained())).items():
        np.testing.assert_array_equal(own, weights(graph)[name])
    with torch.no_grad():
        made.layers["body"].source.values += 1
        made.layers["body"].bias -= 1
    changed = {layer.name: layer for layer in made.convolutions()}
    before = {layer.name: layer for layer in GraphModule(graph).convolutions()}
    np.testing.assert_array_equal(changed["body"].weight, before["body"].weight + 1)
    np.testing.assert_array_equal(changed["body"].bias, before["body"].bias - 1)
    np.testing.assert_array_equal(changed["fc"].weight, before["fc"].weight)


def test_gradients_are_those_of_the_function(rng: np.random.Generator) -> None:
    """Against differences, through every kind."""
    graph = branches()
    made = GraphModule(graph).double()
    x = torch.from_numpy(images(2)).double()
    made(x).square().sum().backward()
    with torch.no_grad():
        for held in made.weights:
            held.source.values.grad = torch.nan_to_num(held.source.values.grad)
            place = np.unravel_index(rng.integers(held.source.values.numel()), held.source.values.shape)
            step = torch.zeros_like(held.source.values)
            step[place] = 1e-6
            found = []
            for sign in (1, -1):
                held.source.values += sign * step
                found.append(float(made(x).square().sum()))
                held.source.values -= sign * step
            wanted = float(held.source.values.grad[place])
            assert abs((found[0] - found[1]) / 2e-6 - wanted) <= 1e-3 * max(1.0, abs(wanted))


def test_an_operator_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "OPERATORS", {"Conv": None})
    with pytest.raises(UnsupportedNetwork, match="layer stem: there is no Relu to train with"):
        GraphModule(replace(net()))
