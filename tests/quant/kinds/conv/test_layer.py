"""The integer convolution as others find it."""

from __future__ import annotations

import numpy as np

from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.conv import convolution
from tests.quant.reference import conv


def test_a_convolution_is_found_among_layers(rng: np.random.Generator) -> None:
    layer = conv(rng, (2, 4, 4), 3, Window())
    assert convolution(layer) is layer
    assert convolution(Add("a", ("x", "y"), "z", (0, 1))) is None and convolution(None) is None
    assert layer.renamed({"x": "p", "y": "q"}).inputs == ("p",) and layer.inputs == ("x",)
