"""Enlargements, which the engine does not have."""

from __future__ import annotations

from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.kinds.resize import Resize


class ResizeOnEngine(EngineKind[Resize]):
    """As `EngineKind`, for enlargements."""

    def check(self, network: Network, layer: Resize, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        raise CannotCompile(layer.name, f"enlarges {layer.input}, and the engine cannot", "end the network before it")
