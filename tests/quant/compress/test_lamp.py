from __future__ import annotations

import numpy as np
import pytest

from quant.compress import lamp
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from tests.quant.compress.moments_of import layer_of


@pytest.mark.parametrize("block", [SINGLE, Block(3, 4)])
def test_by_definition(rng, block):
    layer = layer_of(rng)
    squares = block.summed(np.square(layer.weight.astype(float)))
    scores = lamp.scores(Moments(layer, None), block)
    for place in np.ndindex(*squares.shape):
        assert scores[place] == pytest.approx(squares[place] / squares[squares >= squares[place]].sum())
    assert scores.max() == 1
