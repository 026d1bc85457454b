"""What layers answer: clips one after the other, what is never negative, what they can take into themselves."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.layer import Clip, bounded, narrowed, non_negative_tensors
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool

NONE: Clip = (None, None)


def conv(groups: int = 1, pads: tuple[int, int, int, int] = (0, 0, 0, 0), clip: Clip = NONE) -> FloatConv:
    weight = np.arange(1, 1 + 4 * 9 * (4 // groups), dtype=np.float32).reshape(4, 4 // groups, 3, 3)
    return FloatConv("c", "x", "y", weight, np.arange(4, dtype=np.float32), Window((3, 3), pads=pads), groups, clip)


@pytest.mark.parametrize(
    ("clip", "then", "both"),
    [
        (NONE, (0, 6), (0, 6)),
        ((0, None), (None, 6), (0, 6)),
        ((0, 6), (1, 4), (1, 4)),
        ((0, 1), (2, 3), (2, 2)),
        ((-1, 8), NONE, (-1, 8)),
    ],
)
def test_one_clip_after_another(clip: Clip, then: Clip, both: Clip) -> None:
    assert narrowed(clip, then) == both
    for value in np.arange(-3, 10, 0.5):
        assert bounded(bounded(value, clip), then) == bounded(value, both)


def test_tensors_that_are_never_negative() -> None:
    layers = [
        FloatPool("a", "x", "a", "max", Window()),
        FloatPool("b", "x", "b", "max", Window(), (0, None)),
        FloatAdd("c", ("a", "b"), "c"),
        Concat("d", ("b", "b"), "d"),
        FloatPool("e", "d", "e", "average", Window(), (None, -1)),  # what a clip makes negative
    ]
    assert non_negative_tensors(layers) == {"b", "d"}
    assert non_negative_tensors(layers, {"x"}) == {"x", "a", "b", "c", "d"}


def test_convolutions_take_scalings_and_channels_where_that_is_exact() -> None:
    scale, shift = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4)
    scaled = conv().scaled(scale, shift)
    assert scaled is not None and scaled.bias.tolist() == [1, 3, 7, 13]
    assert conv(clip=(0, None)).scaled(scale, shift) is None
    assert conv(pads=(1, 1, 1, 1)).of_scaled(scale, shift) is None
    assert conv(pads=(1, 1, 1, 1)).of_scaled(scale, 0 * shift) is not None
    some = conv().only(np.array([2, 0]))
    assert some is not None and some.bias.tolist() == [2, 0]
    assert conv(groups=4).only(np.array([2, 0])) is None
    wider = conv().of_channels(np.array([3, -1, 0, 3]), 5)
    assert wider is not None and wider.weight.shape == (4, 5, 3, 3)
    np.testing.assert_array_equal(wider.weight[:, 3], conv().weight[:, 0] + conv().weight[:, 3])
    assert not wider.weight[:, [1, 2, 4]].any()
    assert conv(groups=2).of_channels(np.arange(4), 4) is None


@pytest.mark.parametrize(
    ("kind", "counted", "fill", "never_negative", "takes"),
    [
        ("max", True, 0.0, True, True),
        ("max", True, 0.0, False, False),
        ("max", True, -np.inf, False, True),
        ("average", True, 0.0, False, True),
        ("average", False, 0.0, True, False),
    ],
)
def test_pools_take_padding(kind: str, counted: bool, fill: float, never_negative: bool, takes: bool) -> None:
    pool = FloatPool("p", "x", "y", kind, Window((2, 2)), count_include_pad=counted)  # type: ignore[arg-type]
    padded = pool.padded((0, 1, 1, 0), fill, never_negative)
    assert (None if padded is None else padded.window.pads) == ((0, 1, 1, 0) if takes else None)
    assert pool.padded((0, 2, 0, 0), -np.inf, True) is None  # a window of padding alone
