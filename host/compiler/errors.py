"""What the compiler cannot do, said in one line."""

from __future__ import annotations

from quant.base.errors import ShiftpointError


class CannotCompile(ShiftpointError):
    """A network that the engine cannot run: the message names the layer and the reason."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"layer {layer}: {reason}")
