"""Enlargements, which the engine does not have."""

from __future__ import annotations

from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.resize import Resize
from tests.host.compiling import refused


def test_enlargements_are_refused_with_what_to_do() -> None:
    fmt = QFormat(8, 4)
    tensors = {"x": Tensor("x", (8, 12, 12), fmt), "y": Tensor("y", (8, 24, 24), fmt)}
    assert refused(Network("net", tensors, (Resize("up", "x", "y", (2, 2)),), "x", ("y",))) == (
        "layer up: enlarges x, and the engine cannot: end the network before it"
    )
