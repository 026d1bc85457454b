"""Tables, which the engine does not have."""

from __future__ import annotations

from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.kinds.table import Table


class TableOnEngine(EngineKind[Table]):
    """As `EngineKind`, for functions by look-up."""

    def check(self, network: Network, layer: Table, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        edit = "retrain with Relu, Clip, LeakyRelu or HardSigmoid in its place"
        raise CannotCompile(layer.name, f"{layer.function} by a table, and the engine has none", edit)
