"""Engines for a part: legal, within it, and with its block RAM used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from host.space import DEPTHS, USABLE, Space, changed, legal
from hw.board import catalogue
from hw.contract.config import PRESETS
from hw.resources.blocks import block_rams
from hw.resources.model import needs

SPACE = Space("net", catalogue.part("LFE5U-85F"))
SMALL = Space("net", catalogue.part("LFE5U-45F"))


def rams(config: object) -> int:
    return sum(block_rams(config).values())  # type: ignore[arg-type]


@pytest.mark.parametrize("space", [SPACE, SMALL, Space("net", catalogue.part("LFE5U-25F"))], ids=lambda s: s.part.name)
def test_every_engine_fits(space: Space) -> None:
    arrays = space.arrays()
    assert arrays and arrays == space.arrays()
    for array in arrays:
        for port in space.ports:
            config = space.engine(*array, port)
            if config is not None:
                found = needs(config, space.part.family)
                assert legal(config) and not found.beyond(space.part) and space.fits(config)
                assert found.logic <= USABLE * space.part.logic


def test_the_largest_array_is_the_one_that_the_multipliers_allow() -> None:
    assert SPACE.arrays()[0] == (8, 16) and SMALL.arrays()[0] in ((4, 8), (2, 16))
    assert Space("net", SPACE.part, port=64).ports == (64,)


def test_no_buffer_could_be_deeper_for_nothing() -> None:
    config = SPACE.engine(8, 16, 128)
    assert config is not None
    for depth in DEPTHS:
        more = changed(config, depth, 2)
        assert more is None or rams(more) > rams(config)


def test_what_is_cut_is_what_costs_least() -> None:
    config = SPACE.engine(8, 16, 128, tables=False)
    assert config is not None
    deep = replace(config, activation_depth=config.activation_depth * 2)
    losses = dict.fromkeys(DEPTHS, 10.0) | {"pool_depth": 1.0, "activation_depth": 0.0}
    assert not SPACE.fits(deep) or rams(deep) <= SPACE.part.block_rams
    much = replace(config, activation_depth=32768)
    assert not SPACE.fits(much)
    found = SPACE.cut(much, losses, "activation_depth")
    assert found is not None and found.activation_depth == 32768 and found.pool_depth < config.pool_depth
    assert SPACE.cut(replace(config, activation_depth=65536, oc_lanes=8), {}, "activation_depth") is None


def test_exchanges_fit_and_are_no_two_alike() -> None:
    config = SPACE.engine(8, 16, 128)
    assert config is not None
    found = list(SPACE.exchanged(config, dict.fromkeys(DEPTHS, 1.0)))
    assert len({one.hash for one in found} | {config.hash}) == len(found) + 1 > 3
    assert all(SPACE.fits(one) for one in found)
    assert all(rams(one) < rams(config) for one in SPACE.halved(config).values())


def test_presets_are_held_to_the_part_and_the_port() -> None:
    assert SPACE.holds(PRESETS["medium"]) and not SMALL.holds(PRESETS["medium"])
    assert not replace(SPACE, port=64).holds(PRESETS["medium"])
    assert not SPACE.holds(PRESETS["large"])
