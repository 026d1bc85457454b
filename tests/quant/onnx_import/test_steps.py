"""The simple steps: each as the convolution that does the same, in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.onnx_import.steps import Activation, Affine, Select, Step, ZeroPad
from quant.onnx_import.views import ZERO, Moves
from quant.run.float_run import FloatRunner

SHAPE = (3, 4, 5)


def moves(
    channels: list[int], rows: list[int], columns: list[int], step: tuple[int, int], count: tuple[int, int]
) -> Moves:
    return Moves(np.array(channels), np.array(rows), np.array(columns), step, count)


def run(step: Step, x: np.ndarray) -> np.ndarray:
    layer = step.as_conv(SHAPE)
    shapes = {"x": SHAPE, "y": layer.output_shape({"x": SHAPE})}
    graph = FloatGraph("net", (layer,), shapes, ("x",), ("y",))
    return next(iter(FloatRunner(graph).run(x)))[1]["y"]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, *SHAPE)).astype(np.float32)


def test_clips_and_scalings(x: np.ndarray) -> None:
    np.testing.assert_allclose(run(Activation("s", "x", "y", (-0.5, 1)), x), np.clip(x, -0.5, 1))
    scale, shift = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, -1.0])
    column = [part.reshape(-1, 1, 1) for part in (scale, shift)]
    step = Affine("s", "x", "y", scale, shift)
    np.testing.assert_allclose(run(step, x), x * column[0] + column[1], rtol=1e-5, atol=1e-6)
    some = step.on(np.array([2, 0]))
    assert some.scale.tolist() == [0.5, 1] and some.shift.tolist() == [-1, 0]


def test_padding(x: np.ndarray) -> None:
    step = ZeroPad("s", "x", "y", (1, 2, 0, 1))
    np.testing.assert_array_equal(run(step, x), np.pad(x, ((0, 0), (0, 0), (1, 0), (2, 1))))
    assert step.fill == 0 and step.never_negative({"x"}) and not step.never_negative(set())
    lowest = ZeroPad("s", "x", "y", (1, 2, 0, 1), lowest=True)
    assert lowest.fill == -np.inf and not lowest.never_negative({"x"})


def test_picks_of_channels_rows_and_columns(x: np.ndarray) -> None:
    picks = moves([2, ZERO, 0], [1, 0, 0], [0, 0, 2], (2, 1), (2, 3))
    found = run(Select("s", "x", "y", picks), x)
    assert found.shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(found[:, 0], x[:, 2, 1::2, :3])
    assert not found[:, 1].any()
    np.testing.assert_array_equal(found[:, 2], x[:, 0, 0::2, 2:])
    cropped = Select("s", "x", "y", moves([0, 1, 2], [1] * 3, [2] * 3, (1, 1), (3, 3)))
    assert cropped.as_conv(SHAPE).groups == 3 and cropped.channels(SHAPE) is None
    np.testing.assert_array_equal(run(cropped, x), x[:, :, 1:, 2:])
    whole = Select("s", "x", "y", moves([2, 0], [0] * 2, [0] * 2, (1, 1), (4, 5)))
    picked = whole.channels(SHAPE)
    assert picked is not None and picked.tolist() == [2, 0]


def test_what_is_done_to_every_element_alike() -> None:
    both = Affine("s", "x", "y", np.full(3, 2.0), np.full(3, 1.0)).elementwise
    assert both is not None
    np.testing.assert_allclose(both(np.array([-1.0, 3.0])), [-1, 7])
    np.testing.assert_allclose(Activation("s", "x", "y", (0, 6)).elementwise(np.array([-1.0, 3.0, 9.0])), [0, 3, 6])
    assert Affine("s", "x", "y", np.array([1.0, 2.0]), np.zeros(2)).elementwise is None
    assert Affine("s", "x", "y", np.ones(2), np.array([0.0, 1.0])).elementwise is None
