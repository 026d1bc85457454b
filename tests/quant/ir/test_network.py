"""Who writes and who reads a tensor of an integer network."""

from __future__ import annotations

import numpy as np

from tests.quant.reference import branches


def test_producers_and_consumers(rng: np.random.Generator) -> None:
    network = branches(rng)
    assert network.input_shapes == {network.inputs[0]: (3, 8, 8)}
    assert network.producer("x") is None and network.producer("nothing") is None
    for layer in network.layers:
        assert network.producer(layer.output) is layer
    assert [layer.name for layer in network.consumers("a")] == ["to_b"]  # once, though it is its residual too
    assert [layer.name for layer in network.consumers("b")] == ["to_c", "to_d"]
    assert network.consumers("g") == []
