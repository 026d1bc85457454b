"""What two networks return, side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare import returned_errors
from quant.compare.returned import _Sums
from quant.onnx_import import load
from quant.run.execute import execute, quantize_input
from quant.run.tail import TailRunner, real_outputs
from quant.search import quantize_network
from tests.quant.tailed import float_returned, images, joined_heads


def test_errors_are_those_of_the_arrays() -> None:
    graph = load(joined_heads())
    x = images(graph, 5)
    network = quantize_network(graph, x, effort="fast")
    integers = execute(network, quantize_input(network, x), list(network.outputs))
    assert network.tail is not None
    ours = TailRunner(network.tail, "net").run(real_outputs(network, integers))
    theirs = float_returned(graph, x)
    for found in returned_errors(network, graph, x):
        fixed, wanted = (np.concatenate([one[found.output] for one in every]) for every in (ours, theirs))
        noise = ((fixed.astype(float) - wanted) ** 2).sum()
        assert found.sqnr_db == pytest.approx(10 * np.log10((wanted.astype(float) ** 2).sum() / noise), abs=1e-3)
        assert found.max_abs_error == pytest.approx(np.abs(fixed - wanted).max(), rel=1e-3)
        assert (found.images, found.alike) == (5, 1)
    plain = replace(network, tail=None)
    assert returned_errors(plain, replace(graph, tail=None), x) == ()
    with pytest.raises(BadInput, match="only net has an end on the host: these are not the same network"):
        returned_errors(network, replace(graph, tail=None), x)


def test_arrays_of_other_shapes_are_counted() -> None:
    sums = _Sums()
    sums.add(np.array([1, 2, 3]), np.array([1, 2, 4]))
    sums.add(np.array([1, 2]), np.array([1, 2, 4]))
    found = sums.errors("boxes")
    assert (found.images, found.alike, found.equal, found.max_abs_error) == (2, 0.5, 2 / 3, 1)
    assert found.sqnr_db == pytest.approx(10 * np.log10(21))
