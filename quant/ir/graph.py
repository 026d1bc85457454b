"""The float graph: what the importer makes of an ONNX file and the quantizer turns into integers.

It has the layers of `quant.ir.network`, one for one and under the same names, with real numbers where the
integer network has integers: batch normalisation is folded, activations and residual additions are fused
into the layer that they follow, reshapes are gone.  A tensor has shape (C, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from quant.ir.host import Results
from quant.ir.layer import FloatLayer
from quant.ir.tail import Tail


@dataclass(frozen=True)
class FloatGraph:
    """A float network without batch.  Fields as in `quant.ir.network.Network`.

    shapes: (C, H, W) of every tensor.  source: the tensor of the original ONNX file that each tensor
    equals, so that both can be compared in ONNX Runtime.  places: where its elements lie otherwise than in
    order, int64 of any shape: element i of the file's flattened tensor is element places[i] of this graph's.
    """

    name: str
    layers: tuple[FloatLayer, ...]
    shapes: dict[str, tuple[int, int, int]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: Results = ()
    tail: Tail | None = None
    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    places: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def input_shapes(self) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of one image, by input."""
        return {name: self.shapes[name] for name in self.inputs}
