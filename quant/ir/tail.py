"""The tail: what a network does behind its last layers that are integers, kept as ONNX for the host."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True)
class Tail:
    """The end of a network.

    content: an ONNX model of one image, a batch of 1.  inputs: its inputs' names, which are the network's outputs in
    their order, in `output_shapes`; outputs: its outputs' names, those of the float network.  macs: multiplications of
    one image (`quant.onnx_file.cut.multiplications`).
    """

    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        return sha256(self.content).hexdigest()
