"""What the compiler cannot do, said in one line."""

from __future__ import annotations

from quant.base.errors import ShiftpointError
from quant.ir.target import Refusal


class CannotCompile(ShiftpointError):
    """A network that the engine cannot run.  refusal: the layer, the reason, and what would let it."""

    def __init__(self, layer: str, reason: str, edit: str = "") -> None:
        self.refusal = Refusal(layer, reason, edit)
        super().__init__(str(self.refusal))
