"""Ternary weights without training, as numbers to begin from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.kinds.conv import FloatConv
from quant.run.float_run import FloatRunner
from quant.search.structure import Structure
from quant.train.solved import solved
from tests.quant.float_graphs import images
from tests.quant.train.nets import net, weights


def test_three_values_a_layer_and_a_bias_that_fits_them() -> None:
    """Nearer to the network's outputs than its weights cut at a threshold."""
    graph, x = net(), images(80, 2, 8)
    found = solved(graph, x, {"body": Structure(ternary=True)})
    assert set(found.weights) == set(found.exponents) == {"body"} and set(found.biases) == {"stem", "body", "fc"}
    own = np.ldexp(found.weights["body"], -found.exponents["body"].reshape(-1, 1, 1, 1).astype(np.int32))
    assert len(np.unique(own)) == 3 and np.median(found.exponents["body"]) in (0, 0.5, -0.5)

    def outputs(body: np.ndarray, biases: dict[str, np.ndarray] | None) -> np.ndarray:
        layers = tuple(
            replace(
                layer,
                weight=body if layer.name == "body" else layer.weight,
                bias=layer.bias if biases is None else biases[layer.name],
            )
            if isinstance(layer, FloatConv)
            else layer
            for layer in graph.layers
        )
        made = replace(graph, layers=layers)
        return np.concatenate([tensors[graph.outputs[0]] for _, tensors in FloatRunner(made).run(x)])

    weight = weights(graph)["body"]
    wanted = outputs(weight, None)
    cut = np.where(np.abs(weight) > 0.05 * np.abs(weight).max(), np.sign(weight) * np.abs(weight).mean(), 0)
    error, other = (
        np.square(made - wanted).mean()
        for made in (outputs(found.weights["body"], dict(found.biases)), outputs(cut.astype(np.float32), None))
    )
    assert error < other / 2
