"""From the integer network to the engine's layers."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from quant.base.errors import UnsupportedNetwork
from tests.host.compiling import changed, one_conv


def test_accumulators_that_may_overflow() -> None:
    network = changed(one_conv(), bias=np.full(8, 1 << 31))
    with pytest.raises(UnsupportedNetwork, match="layer layer0: the accumulator can reach"):
        compile_network(network, preset("small"))
