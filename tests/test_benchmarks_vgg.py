"""The VGG-style network: what was trained is what the script describes, and its file is small."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import retrained, vgg
from quant import coded, onnx_import
from quant.kinds.conv import float_convolutions


def test_the_trained_network() -> None:
    path = retrained.TRAINED / f"{vgg.NAME}.coded"
    graph = onnx_import.load(path)
    assert [layer.weight.shape[:2] for layer in float_convolutions(graph.layers)] == [s[:2] for s in vgg.shapes()]
    assert all(np.array_equal(vgg.bfloat16(c.weight), c.weight) for c in float_convolutions(graph.layers))
    assert path.stat().st_size < 1_000_000
    log = (retrained.TRAINED / f"{vgg.NAME}.log").read_text().splitlines()
    assert log[0].startswith("$ python benchmarks/vgg.py FOLDER --epochs ") and len(log) == 2 + int(log[0].split()[-1])
    onnx.checker.check_model(onnx.load_from_string(coded.decode(path.read_bytes(), path.name)))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=2.0**-100, max_value=2.0**100))
def test_numbers_of_eight_bits(value: float) -> None:
    (found,) = vgg.bfloat16(np.array([value], np.float32))
    assert abs(found - value) <= 2.0**-8 * value
    assert np.float32(found).view(np.uint32) & 0xFFFF == 0


def test_folding_changes_nothing() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(3)
    module = vgg.normalized().eval()
    for norm in (each for each in module if isinstance(each, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, 0, 0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias, 0, 0.3)
    model = vgg.vgg(vgg.folded(module), (0.0,) * 3, (1.0,) * 3)
    images = np.random.default_rng(3).normal(0, 1, (4, 3, 32, 32)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": images})
    wanted = module(torch.from_numpy(images)).detach().numpy()
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()  # eight bits of each weight
