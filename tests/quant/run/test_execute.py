"""Whole networks in the integer executor, against a reference in Python's own integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat
from quant.kinds import kernels
from quant.run.execute import Executor, execute, quantize_input
from tests.quant.reference import agrees, branches, images


def test_a_whole_network_tensor_by_tensor(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    agrees(network, images(rng, network, 3))


def test_batches_and_rows_change_nothing(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    x = images(rng, network, 7)
    whole = execute(network, x, network.tensors)
    monkeypatch.setattr("quant.kinds.kernels.BATCH_BYTES", 3 * 8 * 8 * (4 + 4 + 8) * 8)
    monkeypatch.setattr(kernels, "COLUMN_BYTES", 2000)
    pieces = execute(network, x, network.tensors)
    assert all((whole[name] == pieces[name]).all() for name in network.tensors)


def test_only_what_is_asked_for_is_returned(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    x = images(rng, network)
    assert list(execute(network, x)) == ["g", "e"]
    assert list(execute(network, x, ["c", "x"])) == ["c", "x"]
    assert (execute(network, x, ["x"])["x"] == x).all()
    assert execute(network, x[:0])["g"].shape == (0, 5, 1, 1)
    with pytest.raises(KeyError, match="network branches has no tensor nobody"):
        execute(network, x, ["nobody"])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3, 8, 9), int), r"the network takes \(N, 3, 8, 8\), not \(2, 3, 8, 9\)"),
        (np.zeros((3, 8, 8), int), r"the network takes \(N, 3, 8, 8\), not \(3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), "the network takes integers, not float64"),
        (np.full((2, 3, 8, 8), 128), "the network takes integers from -128 to 127, not 128 to 128"),
    ],
)
def test_unfit_inputs_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        execute(branches(np.random.default_rng(0)), x)


def test_contradicting_formats_are_refused():
    network = branches(np.random.default_rng(0))
    for name, layer in (("b", "to_d"), ("e", "to_e")):
        other = network.tensors | {name: dataclasses.replace(network.tensors[name], fmt=QFormat(8, 1, signed=False))}
        with pytest.raises(ValueError, match=f"layer {layer}: computes nothing"):
            Executor(dataclasses.replace(network, tensors=other))
    finer = network.tensors | {"a": dataclasses.replace(network.tensors["a"], fmt=QFormat(8, 9, signed=False))}
    conv_b = dataclasses.replace(network.layers[1], weight_frac=np.array([0, 0, -1, 0]))
    with pytest.raises(ValueError, match="layer to_b: residual a has more fractional bits"):
        Executor(dataclasses.replace(network, tensors=finer, layers=(network.layers[0], conv_b, *network.layers[2:])))


def test_images_become_integers_of_the_input():
    network = branches(np.random.default_rng(0))
    x = quantize_input(network, np.full((1, 3, 8, 8), 0.53125, np.float32))
    assert x.dtype == np.int8 and (x == 8).all()  # 8.5 to even
