"""Parts of the float network in ONNX Runtime, against the whole of it."""

from __future__ import annotations

import numpy as np

from quant.run import float_run
from quant.run.float_run import FloatRunner, LayerRunner, RestRunner
from tests.quant.float_graphs import Builder, branches, images


def test_every_layer_by_itself_gives_what_it_gives_in_the_network(monkeypatch):
    graph, x = branches(), images(5)
    [(_, tensors)] = FloatRunner(graph).run(x)
    monkeypatch.setattr(float_run, "LAYER_BYTES", 1)  # an image at a time
    for layer in graph.layers:
        runner = LayerRunner(graph, layer)
        assert runner.batch == 1 and runner.inputs == layer.inputs
        found = runner.run([tensors[name] for name in runner.inputs])
        np.testing.assert_allclose(found, tensors[layer.output], rtol=1e-4, atol=1e-5)


def test_the_rest_behind_every_layer_gives_the_networks_outputs():
    net = Builder(4)
    one = net.conv("one", "x", 4)
    left = net.conv("left", one, 4, residual=one)
    graph, x = net.graph(left, net.conv("right", left, 3)), images(5)
    [(_, tensors)] = FloatRunner(graph).run(x)
    expected = [
        (("x",), ("left.y", "right.y")),
        (("one.y",), ("left.y", "right.y")),
        (("left.y",), ("right.y",)),
        ((), ()),
    ]
    for index, (inputs, outputs) in enumerate(expected):
        rest = RestRunner(graph, index)
        assert (rest.inputs, rest.outputs) == (inputs, outputs)
        found = rest.run({name: tensors[name] for name in inputs})
        assert tuple(found) == outputs
        for name, values in found.items():
            np.testing.assert_allclose(values, tensors[name], rtol=1e-4, atol=1e-5)
