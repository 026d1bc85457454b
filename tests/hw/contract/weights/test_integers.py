"""Where every weight is that is stored as the multipliers take it."""

import dataclasses

import numpy as np

from hw.contract.config import preset
from hw.contract.weights.integers import Int8, Int16


def test_lane_by_lane_all_outputs_of_an_input_first() -> None:
    config = dataclasses.replace(preset("tiny"), ic_lanes=2, oc_lanes=4, skip_blocks=False, codebooks=False)
    block = np.arange(-4, 4).reshape(4, 2)
    assert Int8().encode(block, config) == bytes(v & 255 for v in (-4, -2, 0, 2, -3, -1, 1, 3))
    assert Int8().block_beats(config) == 2


def test_low_bytes_come_first() -> None:
    config = dataclasses.replace(preset("small16"), ic_lanes=1, oc_lanes=4, skip_blocks=False)
    block = np.array([[-2], [256], [-32768], [7]])
    assert Int16().encode(block, config) == bytes((254, 255, 0, 1, 0, 128, 7, 0))
    np.testing.assert_array_equal(
        Int16().decode(np.frombuffer(Int16().encode(block, config), np.uint8), config)[0], block
    )
