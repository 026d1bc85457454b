"""Where every weight of 8 bits is."""

import dataclasses

import numpy as np

from hw.contract.config import preset
from hw.contract.weights.int8 import Int8


def test_lane_by_lane_all_outputs_of_an_input_first() -> None:
    config = dataclasses.replace(preset("tiny"), ic_lanes=2, oc_lanes=4, skip_blocks=False, codebooks=False)
    block = np.arange(-4, 4).reshape(4, 2)
    assert Int8().encode(block, config) == bytes(v & 255 for v in (-4, -2, 0, 2, -3, -1, 1, 3))
    assert Int8().block_beats(config) == 2
