"""Tables, which the engine does not have."""

from __future__ import annotations

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.table import Table
from tests.host.compiling import refused


def test_tables_are_refused_with_what_to_do() -> None:
    fmt = QFormat(8, 4)
    table = Table("curve", "x", "y", np.arange(-128, 128), "Sigmoid(x)")
    tensors = {name: Tensor(name, (8, 12, 12), fmt) for name in ("x", "y")}
    assert refused(Network("net", tensors, (table,), "x", ("y",))) == (
        "layer curve: Sigmoid(x) by a table, and the engine has none: retrain with Relu, Clip, LeakyRelu or "
        "HardSigmoid in its place"
    )
