"""What the engine runs."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_layer import OutputPooling, single_stride, unchanged, visited
from hw.contract.config import preset
from hw.contract.weights import gateware_format
from quant.ir.fixedpoint import QFormat
from quant.ir.tensor import Tensor
from quant.ir.window import Window

TENSOR = Tensor("t", (3, 6, 8), QFormat(8, 4))


def test_an_unchanged_tensor_passes_with_weights_of_one() -> None:
    layer = unchanged("copy", "Concat", "x", TENSOR, gateware_format(preset("tiny")))
    assert layer.weight.shape == (3, 1, 1, 1) and (layer.weight == 1).all() and layer.groups == 3
    assert not np.any([layer.bias, layer.shift, layer.residual_shift])
    assert layer.clip == (-128, 127) and layer.input_elements == 144 and layer.macs == layer.weight_elements == 0
    assert layer.outputs == ("t",)


def test_outputs_are_what_it_leaves_in_memory() -> None:
    layer = unchanged("copy", "Concat", "x", TENSOR, gateware_format(preset("tiny")))
    pooling = OutputPooling(
        "pool", Tensor("p", (3, 3, 4), TENSOR.fmt), "max", Window((2, 2), (2, 2)), (-128, 127), None
    )
    assert pooling.op == "MaxPool" and dataclasses.replace(pooling, kind="average").op == "AveragePool"
    assert dataclasses.replace(layer, pooling=pooling).outputs == ("t", "p")
    assert dataclasses.replace(layer, pooling=pooling, keep=False).outputs == ("p",)


def test_a_stride_along_one_output_means_nothing() -> None:
    window = Window((3, 3), (40, 2))
    assert single_stride(window, Tensor("t", (1, 1, 5), TENSOR.fmt)).stride == (1, 2)
    assert single_stride(window, Tensor("t", (1, 5, 1), TENSOR.fmt)).stride == (40, 1)


def test_elements_that_a_window_visits() -> None:
    def of(window: Window) -> int:
        return visited(window, TENSOR, Tensor("t", (1, *window.output_size(6, 8)), TENSOR.fmt))

    assert of(Window((3, 3), (1, 1), (1, 1, 1, 1))) == 3 * 6 * 8
    assert of(Window((1, 1), (2, 2))) == 3 * 3 * 4
    assert of(Window((2, 1), (1, 1), (0, 0, 0, 0), (5, 1))) == 3 * 2 * 8, "the middle of a dilated window is not read"
