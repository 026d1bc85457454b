"""The manifest's layers."""

from __future__ import annotations

import numpy as np

from hw.contract.config import preset
from hw.contract.isa import Opcode
from quant.ir.window import Window
from tests.host.compiling import check
from tests.host.networks import Builder


def test_a_pooling_beside_a_kept_result_is_a_layer_of_its_own(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 6, 6))
    b.pool(b.conv("x", 8), "average", Window((6, 6)), bits=16)
    program = check(b.network("t0"), preset("small"), rng)
    assert [(e.name, e.op, e.output, e.written_bytes) for e in program.layers] == [
        ("layer0", "Conv", "t0", 288),
        ("layer1", "AveragePool", "t1", 16),
    ]
    pools = [i for i in program.decode() if i.opcode is Opcode.POOL]
    assert {i.layer for i in pools} == {1}
