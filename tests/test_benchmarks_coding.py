"""The benchmark of compression: rounding to 16-bit floats, and its table."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks import coding as benchmark
from quant import coded
from tests.quant.coded.test_file import network


def test_halved_weights_are_those_of_16_bit_floats(rng: np.random.Generator) -> None:
    content = network(rng, 4)
    halved = benchmark.halved(content)
    before, after = (onnx.load_model_from_string(one).graph.initializer for one in (content, halved))
    for old, new in zip(before, after, strict=True):
        whole, half = numpy_helper.to_array(old), numpy_helper.to_array(new)
        assert half.dtype == whole.dtype and np.array_equal(half, whole.astype(np.float16))
    assert len(coded.encode(halved)) < len(coded.encode(content))


def test_the_table() -> None:
    row = {"network": benchmark.SHARED, "form": "float", "weights": 1000, "kept": 333, "bytes": 400, "tables": 30}
    shares = {"images": 50, "float_top1": 0.5, "top1": 0.48, "agreement": 0.98}
    line = benchmark.table([row | shares]).splitlines()[2]
    cells = "float | 1,000 | 33.3% | 400 | 30 | 10.00x | 2.50x | 660 kB | 50.00% | 48.00% | 98.00% of 50"
    assert line == f"| {benchmark.SHARED} | {cells} |"
