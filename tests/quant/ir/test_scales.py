"""The scales of an equalized network, written and read back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.scales import SCALES, tensor_scales, with_scales
from quant.ir.tensor import Tensor
from quant.qdq import load, save
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


def network(**metadata: str) -> Network:
    tensors = {name: Tensor(name, (c, 1, 1), QFormat(8, 0)) for name, c in (("x", 2), ("y", 3))}
    return Network("net", tensors, (), ("x",), ("y",), metadata=metadata)


def test_scales_that_nobody_states_are_one():
    found = tensor_scales(network())
    assert {name: values.tolist() for name, values in found.items()} == {"x": [1, 1], "y": [1, 1, 1]}


def test_scales_come_back_exactly():
    scales = np.array([1 / 3, 1.0, 7e-5])
    stated = with_scales(network(source="elsewhere"), {"x": np.ones(2), "y": scales})
    assert list(json.loads(stated.metadata[SCALES])) == ["y"] and stated.metadata["source"] == "elsewhere"
    assert np.array_equal(tensor_scales(stated)["y"], scales)
    assert SCALES not in with_scales(stated, {}).metadata


def test_scales_travel_in_the_file(tmp_path):
    quantized = quantize_network(branches(), images(2))
    scales = {name: np.linspace(0.3, 2, t.shape[0]) for name, t in quantized.tensors.items()}
    save(with_scales(quantized, scales), tmp_path / "net.onnx")
    found = tensor_scales(load(tmp_path / "net.onnx"))
    assert found.keys() == scales.keys() and all(np.array_equal(found[n], scales[n]) for n in scales)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"z": [1]}', "name 'z', which network net has not"),
        ('{"x": [1]}', "tensor x are not 2 positive numbers"),
        ('{"x": [1, 0]}', "tensor x are not 2 positive numbers"),
        ('{"x": [1, -2]}', "tensor x are not 2 positive numbers"),
        ('{"x": [1, Infinity]}', "tensor x are not 2 positive numbers"),
        ('{"x": [1, "a"]}', "tensor x are not 2 positive numbers"),
        ('{"x": {"a": 1}}', "tensor x are not 2 positive numbers"),
    ],
)
def test_damaged_scales_are_refused_in_one_line(text, message):
    with pytest.raises(BadInput, match=message) as error:
        tensor_scales(replace(network(), metadata={SCALES: text}))
    assert "\n" not in str(error.value)


def test_wrong_scales_are_not_written():
    with pytest.raises(BadInput, match="tensor y are not 3 positive numbers"):
        with_scales(network(), {"y": np.ones(2)})
