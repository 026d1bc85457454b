"""Tensors of both networks as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare import dump_tensors
from quant.ir.fixedpoint import QFormat
from quant.ir.scales import with_scales
from quant.run.execute import execute, quantize_input
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


def test_all_tensors_of_both_networks():
    graph = branches()
    network = with_scales(quantize_network(graph, images(4)), {"fc.y": np.full(10, 0.5)})
    x = images(3, seed=2)
    arrays = dump_tensors(network, graph, x)
    fixed = execute(network, quantize_input(network, x), network.tensors)
    reference = next(iter(FloatRunner(graph).run(x)))[1]
    assert {key.split("/", 1)[1] for key in arrays} == set(network.tensors)
    for name, tensor in network.tensors.items():
        assert (
            np.array_equal(arrays[f"fixed/{name}"], fixed[name]) and arrays[f"fixed/{name}"].dtype == tensor.fmt.dtype
        )
        assert np.array_equal(arrays[f"float/{name}"], reference[name])
        assert str(arrays[f"format/{name}"]) == str(tensor.fmt) and int(arrays[f"frac/{name}"]) == tensor.fmt.frac
        assert arrays[f"scales/{name}"].shape == (tensor.shape[0],)
    assert (arrays["scales/fc.y"] == 0.5).all() and (arrays["scales/x"] == 1).all()
    assert isinstance(network.tensors["x"].fmt, QFormat)


def test_some_tensors_by_layer_or_by_name():
    graph = branches()
    network = quantize_network(graph, images(4))
    arrays = dump_tensors(network, graph, images(2), ("stem", "fc.y", "fc"))
    assert {key.split("/", 1)[1] for key in arrays} == {"stem.y", "fc.y"}
    assert len(arrays["float/stem.y"]) == 2
    with pytest.raises(BadInput, match="has no layer and no tensor 'stam' that both networks have"):
        dump_tensors(network, graph, images(2), ("stam",))
