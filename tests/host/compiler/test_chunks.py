"""How many input groups a CONV takes."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.chunks import chunk_sizes, least_groups, most_weight_beats
from hw.contract.config import preset
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


def test_chunks_fit_half_the_buffer_and_weights_no_more_than_the_most() -> None:
    config = dataclasses.replace(preset("small"), weight_depth=1024)
    b = Builder(np.random.default_rng(1), (64, 12, 12))
    b.conv("x", 32, SAME)
    posed = problems(b.network(), config)[0][0]
    found = list(chunk_sizes(posed))
    assert found[0] > least_groups(posed) == 1 == found[-1] and len(set(found)) == len(found)
    assert all(2 * posed.piece_beats(chunk) <= config.weight_depth for chunk in found)
    assert all(posed.weight_beats(chunk) <= most_weight_beats(posed) for chunk in found)


def test_a_depthwise_conv_has_all_of_its_input_groups() -> None:
    b = Builder(np.random.default_rng(1), (32, 12, 12))
    b.conv("x", 32, SAME, groups=32)
    posed = problems(b.network(), preset("medium"))[0][0]
    assert list(chunk_sizes(posed)) == [least_groups(posed)] == [posed.range_groups]
    assert posed.range_groups > 1
