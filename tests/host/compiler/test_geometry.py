"""How a part of a tensor comes to lie in the activation buffer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler.geometry import Footprint, Geometry
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.layout import Placement
from quant.ir.fixedpoint import QFormat

WIDE_PORT = dataclasses.replace(preset("tiny"), name="wide_port", axi_bits=128, skip_blocks=False, codebooks=False)
CONFIGS = pytest.mark.parametrize("config", [preset("tiny"), preset("large"), WIDE_PORT], ids=lambda c: c.name)


def geometry(config: AcceleratorConfig, channels: int, height: int, width: int, flat: bool = False) -> Geometry:
    placement = Placement("t", 0, (channels, height, width), QFormat(8, 0), tuple(range(channels)))
    return Geometry(config, placement, flat)


def loaded(g: Geometry, part: Footprint) -> dict[int, int]:
    """Which word of the tensor lies in each word of the piece, after its loads: {place: word}."""
    d = g.config.derived
    found = {}
    for load in part.loads:
        for row in range(load.rows):
            for beat in range(load.beats):
                for byte in range(0, d.beat_bytes, min(d.word_bytes, d.beat_bytes)):
                    source = load.address + row * load.pitch + beat * d.beat_bytes + byte
                    target = (load.offset + row * load.destination_pitch + beat) * d.beat_bytes + byte
                    if source % d.word_bytes == 0:
                        assert target % d.word_bytes == 0
                        found[target // d.word_bytes] = source // d.word_bytes
    return found


@CONFIGS
@pytest.mark.parametrize("columns", [(0, 13), (2, 9), (12, 13)])
def test_a_band_shows_its_rows_and_columns(config: AcceleratorConfig, columns: tuple[int, int]) -> None:
    g = geometry(config, 3 * config.ic_lanes, 9, 13)
    rows, groups = (2, 6), (1, 3)
    part = g.band(groups, rows, columns)
    words = loaded(g, part)
    for group in range(*groups):
        for row in range(*rows):
            for column in range(*columns):
                place = part.origin + (group - groups[0]) * part.group_step
                place += (row - rows[0]) * part.pitch + column - columns[0]
                assert words[place] == group * g.plane_words + row * g.width + column
    assert max(words) < part.size * g.grain_words


@CONFIGS
def test_slabs_fill_the_whole(config: AcceleratorConfig) -> None:
    g = geometry(config, 2 * config.ic_lanes, 8, 8)
    words = loaded(g, g.slab((0, 2), (0, 24))) | loaded(g, g.slab((0, 2), (24, 64)))
    whole = g.whole()
    assert all(words[group * whole.group_step + word] == group * g.plane_words + word
               for group in range(2) for word in range(64))  # fmt: skip


@CONFIGS
def test_flat_groups_are_words(config: AcceleratorConfig) -> None:
    g = geometry(config, 2 * config.ic_lanes, 4, 4, flat=True)
    assert (g.height, g.width, g.groups) == (1, 1, 2 * g.plane_words)
    part = g.band((3, 17), (0, 1), (0, 1))
    words = loaded(g, part)
    assert [words[part.origin + k] for k in range(14)] == list(range(3, 17))
    assert part.planes == (0, -(-17 // g.plane_words))


def test_rows_that_follow_each_other_are_one_load() -> None:
    g = geometry(preset("small"), 24, 8, 8)
    (load,) = g.band((0, 3), (0, 8), (0, 8)).loads
    assert (load.rows, load.beats, load.pitch, load.destination_pitch) == (1, 3 * 64, 0, 0)
    (load,) = g.band((0, 3), (0, 4), (0, 8)).loads
    assert (load.rows, load.beats, load.pitch, load.destination_pitch) == (3, 32, 512, 32)
    assert np.prod(g.placement.shape) == 24 * 64
