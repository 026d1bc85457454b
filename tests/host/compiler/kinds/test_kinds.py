"""The registry of kinds on the engine; what is not in it is refused by name."""

from __future__ import annotations

import pytest

from host.compiler.errors import CannotCompile
from host.compiler.kinds import KINDS, on_engine
from hw.contract.config import preset
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window
from quant.kinds.pool import Pool
from tests.quant.integer_nets import Net


class NewKind(Pool):
    """A kind that the engine does not have, though its base is one that it has."""

    @property
    def operator(self) -> str:
        return "NewKind"


def test_a_layer_is_looked_up_by_its_own_class() -> None:
    net = Net((2, 4, 4), QFormat(8, 4))
    net.pool("x", "max", Window((2, 2)))
    assert on_engine(net.layers[0]) is KINDS[Pool]
    assert len({type(kind) for kind in KINDS.values()}) == len(KINDS)


def test_a_kind_that_nobody_registered_is_refused() -> None:
    net = Net((2, 4, 4), QFormat(8, 4))
    y = net.put(lambda name: NewKind("new", "x", name, "max", Window(), (-128, 127)), (2, 4, 4), QFormat(8, 4))
    network = net.network(y)
    with pytest.raises(CannotCompile, match="the engine has no NewKind"):
        on_engine(network.layers[0]).check(network, network.layers[0], preset("small"))
