"""Networks that no quantized file can hold, and places where none can be written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant import qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.fixedpoint import QFormat
from quant.ir.tensor import Tensor
from tests.quant.integer_nets import S8, U8, Net


def test_numbers_that_a_file_cannot_hold() -> None:
    def refused(change: Callable[[Net], None], error: type[Exception] = BadInput) -> str:
        net = Net((1, 2, 2), S8)
        net.conv("x", 1, S8)
        change(net)
        with pytest.raises(error) as caught:
            qdq.to_model(net.network("t0"))
        return str(caught.value)

    def layer(**fields: Any) -> Callable[[Net], None]:
        def change(net: Net) -> None:
            net.layers[0] = dataclasses.replace(net.layers[0], **fields)

        return change

    def tensor(name: str, fmt: QFormat) -> Callable[[Net], None]:
        def change(net: Net) -> None:
            net.tensors[name] = Tensor(name, net.tensors[name].shape, fmt)

        return change

    assert refused(layer(bias=np.array([2**31]))) == (
        "layer conv_t0: the bias 2147483648 does not fit the int32 of a quantized file"
    )
    assert (
        refused(layer(weight_bits=17)) == "the weight of layer conv_t0 has 17 bits; a quantized file holds at most 16"
    )
    assert refused(tensor("x", QFormat(24, 0))) == "tensor x has 24 bits; a quantized file holds at most 16"
    assert refused(tensor("x", QFormat(8, 130))) == (
        "tensor x has the fractional length 130, which no float32 scale expresses"
    )
    assert refused(layer(weight=np.full((1, 1, 1, 1), 128)), ValueError) == (
        "layer conv_t0: a weight does not fit its 8 bits"
    )
    assert refused(layer(clip=(-200, 0)), ValueError) == (
        "layer conv_t0: the clip (-200, 0) is not within s8.4, (-128, 127)"
    )
    assert refused(layer(op="Gemm"), ValueError).startswith("layer conv_t0: the kernel of a Gemm covers the map")
    text = refused(lambda net: net.concat("x", net.conv("x", 1, U8)) and None, ValueError)
    assert text == "layer concat_t2: computes nothing, so its input and output need one format"


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    net = Net((1, 2, 2), S8)
    network = net.network(net.conv("x", 1, S8))
    with pytest.raises(BadInput, match="cannot be written: No such file or directory$"):
        qdq.save(network, tmp_path / "none" / "a.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="folder: cannot be written: Is a directory$"):
        write_atomic(tmp_path / "folder", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
