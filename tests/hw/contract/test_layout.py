"""Tensors as bytes, against loops that follow the words of the layout."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from hw.contract import typed
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.layout import Fold, Placement, pack, plane_bytes, unpack
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window

ALL = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
LANES = {
    "in order": tuple(range(11)),
    "with gaps": (0, 1, 2, *range(32, 40)),
    "shuffled": (7, 3, 0, 1, 12, 30, 2, 5, 4, 6, 8),
}


def placement(shape: tuple[int, int, int], fmt: QFormat, lanes: tuple[int, ...]) -> Placement:
    return Placement("x", 0, shape, fmt, lanes)


@ALL
@pytest.mark.parametrize("fmt", [QFormat(8, 3), QFormat(8, 3, False), QFormat(16, 5), QFormat(16, 5, False)], ids=str)
@pytest.mark.parametrize("lanes", LANES.values(), ids=LANES)
def test_round_trip(config: AcceleratorConfig, fmt: QFormat, lanes: tuple[int, ...], rng: np.random.Generator) -> None:
    place = placement((11, 5, 3), fmt, lanes)
    values = rng.integers(fmt.low, fmt.high + 1, place.shape)
    data = pack(values, place, config)
    assert len(data) == place.size(config)
    np.testing.assert_array_equal(unpack(data, place, config), values)


@ALL
@pytest.mark.parametrize("fmt", [QFormat(8, 0), QFormat(8, 0, False), QFormat(16, 0)], ids=str)
def test_where_every_byte_is(config: AcceleratorConfig, fmt: QFormat, rng: np.random.Generator) -> None:
    """In planes where integers are wider than the engine's data, else side by side, up to as many as data have."""
    place, lane_bytes = placement((11, 3, 3), fmt, LANES["shuffled"]), config.derived.lane_bytes
    values = rng.integers(fmt.low, fmt.high + 1, place.shape)
    data = pack(values, place, config)
    plane, n = plane_bytes(config, 3, 3), config.ic_lanes
    assert plane % config.derived.beat_bytes == 0 and 0 <= plane - 9 * n * lane_bytes < config.derived.beat_bytes
    parts = max(1, fmt.bits // (8 * lane_bytes))
    expected = bytearray(len(data))
    for c, y, x, byte in itertools.product(range(11), range(3), range(3), range(parts * lane_bytes)):
        group, lane = divmod(place.lanes[c], n)
        part, within = divmod(byte, lane_bytes)
        at = (group * parts + part) * plane + ((y * 3 + x) * n + lane) * lane_bytes + within
        expected[at] = int(values[c, y, x]) >> (8 * byte) & 255
    assert data == bytes(expected), "unused lanes and the ends of planes are 0"


def test_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"^x: expected \(11, 5, 3\), got \(11, 3, 5\)$"):
        pack(np.zeros((11, 3, 5)), placement((11, 5, 3), QFormat(8, 0), LANES["in order"]), preset("small"))


WINDOWS = [
    Window((3, 3), (1, 1), (1, 1, 1, 1)),
    Window((1, 4), (1, 2), (0, 1, 0, 2)),
    Window((2, 3), (3, 2), (1, 0, 2, 3), (2, 2)),
]


@pytest.mark.parametrize("fill", [(), (3, -128, 127)], ids=["zeros", "numbers"])
@pytest.mark.parametrize("window", WINDOWS, ids=range(len(WINDOWS)))
def test_fold(window: Window, fill: tuple[int, ...], rng: np.random.Generator) -> None:
    values = rng.integers(-128, 128, (3, 8, 9))
    folded = Fold(window, fill).apply(values)
    rows, columns = window.output_size(8, 9)
    assert folded.shape == (3 * window.kernel[0] * window.kernel[1], rows, columns)
    for ky, kx, c, y, x in itertools.product(*map(range, (*window.kernel, 3, rows, columns))):
        iy = y * window.stride[0] + ky * window.dilation[0] - window.pads[0]
        ix = x * window.stride[1] + kx * window.dilation[1] - window.pads[1]
        inside = 0 <= iy < 8 and 0 <= ix < 9
        wanted = values[c, iy, ix] if inside else (fill or (0, 0, 0))[c]
        assert folded[(ky * window.kernel[1] + kx) * 3 + c, y, x] == wanted


def test_packing_folds(rng: np.random.Generator) -> None:
    config, fold = preset("tiny"), Fold(WINDOWS[0])
    values = rng.integers(-128, 128, (2, 6, 6))
    place = Placement("x", 0, (18, 6, 6), QFormat(8, 0), tuple(range(18)), fold)
    np.testing.assert_array_equal(unpack(pack(values, place, config), place, config), fold.apply(values))


def test_placements_as_json() -> None:
    for fold in (None, Fold(WINDOWS[2]), Fold(WINDOWS[2], (1, 2, 3))):
        place = Placement("x", 64, (3, 4, 5), QFormat(16, -2), (0, 1, 9), fold)
        assert typed.read(Placement, json.loads(json.dumps(place.to_json())), "x") == place


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": (0, 4, 5)}, "has the shape (0, 4, 5)"),
        ({"fmt": QFormat(12, 0)}, "has the format s12.0"),
        ({"fmt": QFormat(8, 1 << 40)}, "has the format s8.1099511627776"),
        ({"lanes": (0, 1)}, "has 3 channels, and no lane of its own for each"),
        ({"lanes": (0, 1, 1)}, "has 3 channels, and no lane of its own for each"),
        ({"lanes": (0, 1, -1)}, "has 3 channels, and no lane of its own for each"),
        ({"address": 100}, "lies at byte 100, no multiple of 8"),
        ({"address": 0}, "lies in bytes 0 to 160, and tensors lie in 64 to 4096"),
        ({"address": 4000}, "lies in bytes 4000 to 4160, and tensors lie in 64 to 4096"),
        ({"lanes": (0, 1, 1 << 40)}, "lies in bytes 64 to 21990232555744, and tensors lie in 64 to 4096"),
    ],
)
def test_what_no_tensor_is(change: dict[str, object], says: str) -> None:
    place = Placement("x", 64, (3, 4, 5), QFormat(8, 0), (0, 1, 2))
    place.check(preset("small"), range(64, 4096))
    with pytest.raises(BadInput) as caught:
        dataclasses.replace(place, **change).check(preset("small"), range(64, 4096))  # type: ignore[arg-type]
    assert str(caught.value) == f"tensor 'x': {says}"
