"""The integer network: what the quantizer makes and everything after it reads.

Layers stand in execution order; each writes one tensor.  A tensor without batch has shape (C, H, W);
the output of a fully connected layer is (C, 1, 1).  All values are integers of the tensor's format.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quant.ir.host import Results
from quant.ir.layer import Layer
from quant.ir.tail import Tail
from quant.ir.tensor import Tensor


@dataclass(frozen=True)
class Network:
    """An integer network.

    inputs: names, one or more, in the order of the file; the integers of one are quantize(x, tensors[name].fmt).
    outputs: names, in the order of the float network's outputs.  results: what the
    float network returns, in its order, where the host makes that of the outputs; empty: the outputs as they are.
    tail: what the host computes from the outputs to give what the float network returns; then there are no results.
    output_shapes: the shapes without the batch that outputs have in the float network (a fully connected
    (C, 1, 1) was (C,)).  metadata: metadata_props carried over
    (preprocess.*, source, ...).
    """

    name: str
    tensors: dict[str, Tensor]
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: Results = ()
    tail: Tail | None = None
    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def input_shapes(self) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of one image, by input."""
        return {name: self.tensors[name].shape for name in self.inputs}

    def consumers(self, tensor: str) -> list[Layer]:
        """The layers that read a tensor, in order."""
        return [layer for layer in self.layers if tensor in layer.inputs]

    def producer(self, tensor: str) -> Layer | None:
        """The layer that writes a tensor; None for an input of the network."""
        return next((layer for layer in self.layers if layer.output == tensor), None)
