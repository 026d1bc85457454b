"""Quantized files that ONNX Runtime refuses: they are refused here, with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

from quant.base.errors import BadInput
from quant.qdq.runnable import check_runs
from tests.quant.qdq.test_read import constant, message, node, written


def test_zero_points_of_another_shape_than_their_scales() -> None:
    model = written()
    constant(model, "zero_int8").CopyFrom(numpy_helper.from_array(np.zeros(7, np.int8), "zero_int8"))
    assert message(model).startswith("net: ONNX Runtime cannot run it: ")


def test_attributes_that_an_operator_has_not() -> None:
    model = written()
    node(model, "conv_t0").attribute.append(helper.make_attribute("ceil_mode", 1))
    assert "Unrecognized attribute: ceil_mode" in message(model)


def test_outputs_of_another_shape() -> None:
    model = written()
    name = model.graph.output[0].name
    check_runs(model, "net", {"x": (3, 2, 4, 4)}, {name: (2, 3, 3)})
    with pytest.raises(BadInput, match=rf"^net: output {name} is \(3, 2, 3, 3\) in ONNX Runtime, not \(3, 18\)$"):
        check_runs(model, "net", {"x": (3, 2, 4, 4)}, {name: (18,)})


def test_its_own_complaints_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    test_zero_points_of_another_shape_than_their_scales()
    assert capfd.readouterr().err == ""
