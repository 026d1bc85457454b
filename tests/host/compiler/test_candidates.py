"""Which maps could stay on the chip: who writes and reads them, and how much room they would take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from host.compiler.candidates import Candidates
from host.compiler.lower import lower
from host.compiler.memory import place
from host.compiler.problem import problem
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Buffer
from hw.contract.memory import Memory
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder


def candidates(network: Network, config: AcceleratorConfig) -> Candidates:
    lowered = lower(network, config)
    places = place(lowered, config)
    placed = places.placements
    posed = [
        problem(config, layer, placed[layer.source], placed[layer.outputs[0]].lanes, Memory())
        for layer in lowered.layers
    ]
    return Candidates(lowered, config, places, posed)


def test_a_residual_block(rng: np.random.Generator) -> None:
    """The first map is read twice: convolved, and added; the input is nobody's result."""
    b = Builder(rng, (8, 12, 12))
    first = b.conv("x", 16, SAME)
    second = b.conv(first, 16, SAME)
    third = b.conv(second, 16, SAME, residual=first)
    b.conv(third, 8, Window())
    config = preset("small")
    known = candidates(b.network(), config)
    assert known.writers(first) == [0] and known.readers(first) == [1] and known.residuals(first) == {first: [2]}
    assert known.writers("x") == [] and known.readers("x") == [0]
    found = {(one.buffer, one.tensor): one for one in known.candidates()}
    assert found.keys() == {(Buffer.ACTIVATION, name) for name in (first, second, third)} | {(Buffer.RESIDUAL, first)}
    beats = 16 // config.ic_lanes * 12 * 12 // config.derived.words_per_beat
    assert {one.size for one in found.values()} == {beats}
    lives = {key: (one.first, one.last) for key, one in found.items()}
    assert lives[Buffer.ACTIVATION, first] == (0, 1) and lives[Buffer.RESIDUAL, first] == (0, 2)


def test_only_what_does_not_fit_comes_in_bands(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 12, 12))
    wide = b.conv("x", 32, SAME)
    b.conv(wide, 8, Window())
    config = preset("small")
    fits, small = (replace(config, activation_depth=words) for words in (1024, 512))
    assert 512 < 32 // config.ic_lanes * 12 * 12 <= 1024
    assert list(candidates(b.network(), fits).banded()) == []
    (variants,) = candidates(b.network(), small).banded()
    assert {one.tensor for (one,) in variants} == {wide} and all(0 < one.band < 12 for (one,) in variants)
    assert {one.slots for (one,) in variants} == {1, 2}
