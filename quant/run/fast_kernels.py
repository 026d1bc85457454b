"""ONNX Runtime sessions of exact models, and whether its products of bytes are exact on this processor."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.onnx_file.weights import Beside
from quant.run.session import Session

FORMS = (
    (64, 32, 1, 1, 9),
    (64, 32, 1, 1, 1),
    (16, 20, 3, 1, 9),
    (32, 32, 3, 32, 9),
    (32, 64, 3, 2, 5),
    (3, 16, 3, 1, 9),
    (5, 7, 1, 1, 3),
    (40, 40, 5, 40, 7),
    (9, 9, 3, 9, 6),
)
"""Input channels, output channels, kernel, groups, height and width of the map of the convolutions that are tried."""


def open_session(model: onnx.ModelProto, label: str, threads: int = 0, beside: Beside | None = None) -> Session:
    """A model in ONNX Runtime with its default optimizations, but those that fuse Quantize- and DequantizeLinear.

    threads: 0 for one on each core.  beside: as of `Session`.
    """
    return Session(model, label, beside=beside, threads=threads, fused=False)


@cache
def bytes_are_exact() -> bool:
    """Whether QLinearConv gives the exact sums of the largest products, in each of its forms.

    On x86 processors without VNNI the instruction that multiplies bytes adds two products into 16 bits, and
    saturates (onnxruntime.ai, "Quantize ONNX models", on U8S8): with all data 255 and all weights 127 or -128 every
    pair does.  Found out once, in a few milliseconds.
    """
    return all(_sums_exactly(*form, extreme) for form in FORMS for extreme in (127, -128))


def _sums_exactly(inputs: int, outputs: int, kernel: int, groups: int, size: int, weight: int) -> bool:
    """Whether one QLinearConv of equal weights over data of 255 gives their sum, scaled to about 100."""
    total = 255 * weight * (inputs // groups) * kernel * kernel
    shift = int(np.ceil(np.log2(abs(total) / 120)))
    arrays = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "middle": np.uint8(128),
        "scale": np.float32(2.0**-shift),
        "weight": np.full((outputs, inputs // groups, kernel, kernel), weight, np.int8),
        "none": np.int8(0),
    }
    node = helper.make_node(
        "QLinearConv", ["x", "one", "zero", "weight", "scale", "none", "one", "middle"], ["y"], group=groups
    )
    graph = helper.make_graph(
        nodes=[node],
        name="probe",
        inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, [1, inputs, size, size])],
        outputs=[helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        initializer=[numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    found = open_session(model, "probe", 1).run(None, {"x": np.full((1, inputs, size, size), 255, np.uint8)})[0]
    return bool((found == 128 + round(total / 2**shift)).all())
