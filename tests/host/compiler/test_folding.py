"""First layers, folded into lanes."""

from __future__ import annotations

import numpy as np

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.isa import Opcode
from tests.host.networks import SAME, Builder


def test_a_first_layer_is_folded(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 32, 32))
    b.conv("x", 16)
    program = compile_network(b.network(), preset("medium"))
    (view,) = program.inputs
    assert view.fold is not None and view.fold.window == SAME and view.shape == (27, 32, 32)
    assert {i.input_groups for i in program.decode() if i.opcode is Opcode.CONV} == {4}
