"""Where the two weights of a pair are in a byte, and that every pair comes back."""

import numpy as np

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Mode
from hw.contract.weights import gateware_format, known_formats, pairs_format
from hw.contract.weights.pairs import Pairs4

CONFIG = AcceleratorConfig("pairs", 2, 2, 32, packed=True)


def test_low_and_sixteen_times_high() -> None:
    lanes = np.array([[1, 2], [3, -1], [-1, -8], [-8, 7]])  # of output lane 0 in both groups, then of lane 1
    wanted = [1 + 16 * 3, -1 + 16 * -8, 2 + 16 * -1, -8 + 16 * 7]
    assert Pairs4().encode(lanes, CONFIG) == bytes(value % 256 for value in wanted)


def test_every_pair_has_a_byte_of_its_own() -> None:
    config = AcceleratorConfig("all", 16, 16, 128, packed=True)
    low, high = np.meshgrid(np.arange(-8, 8), np.arange(-8, 8))
    block = np.stack([low, high], axis=1).reshape(32, 16)
    data = np.frombuffer(Pairs4().encode(block, config), np.uint8)
    assert len(np.unique(data)) == 256
    np.testing.assert_array_equal(Pairs4().decode(data, config)[0], block)


def test_a_block_of_two_groups_takes_what_one_of_weights_takes() -> None:
    config = preset("packed")
    for mode in (Mode.DENSE, Mode.PAIRED):
        whole = gateware_format(config)
        assert Pairs4().block_beats(config, mode) == whole.block_beats(config, mode)
        assert Pairs4().block_cycles(config, mode) == whole.block_cycles(config, mode)


def test_engines_without_them() -> None:
    assert pairs_format(preset("medium")) is None
    assert not any(found.groups > 1 for found in known_formats(preset("medium")))
    assert pairs_format(preset("packed")) in known_formats(preset("packed"))
