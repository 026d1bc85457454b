"""Tails in ONNX Runtime: from a network's outputs to what the float network returns, one image at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from quant.ir.fixedpoint import dequantize
from quant.ir.network import Network
from quant.ir.tail import Tail
from quant.run.session import Session

Returned = Mapping[str, np.ndarray]
"""What the float network returns of one image, by name, a batch of 1 in front; its shapes may depend on the image."""


class TailRunner:
    """A tail in ONNX Runtime, node by node as it stands, so that equal inputs give equal bits wherever it stands.

    label: how messages call the network.  Raises BadInput where ONNX Runtime refuses the tail.
    """

    def __init__(self, tail: Tail, label: str) -> None:
        model = onnx.load_model_from_string(tail.content)
        self.outputs = tail.outputs
        self.shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input
        }
        self._session = Session(model, f"{label}: its tail", optimized=False)

    def run(self, outputs: Sequence[np.ndarray]) -> list[Returned]:
        """Of each image.  outputs: of the network, in order, real numbers (N, C, H, W)."""
        arrays = [np.asarray(array, np.float32) for array in outputs]
        return [self._one([array[image] for array in arrays]) for image in range(len(arrays[0]))]

    def _one(self, arrays: Sequence[np.ndarray]) -> Returned:
        given = zip(self.shapes.items(), arrays, strict=True)
        feed = {name: np.ascontiguousarray(array).reshape(shape) for (name, shape), array in given}
        return dict(zip(self.outputs, self._session.run(self.outputs, feed), strict=True))


def check_tail(tail: Tail, label: str) -> None:
    """Run a tail once, on zeros.  Raises BadInput, with ONNX Runtime's reason, where that cannot be."""
    runner = TailRunner(tail, label)
    runner.run([np.zeros(shape, np.float32) for shape in runner.shapes.values()])


def real_outputs(network: Network, integers: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The numbers that the integers of a network's outputs stand for, float32 (N, C, H, W) each, in order."""
    frac = {name: network.tensors[name].fmt.frac for name in network.outputs}
    return [dequantize(np.asarray(integers[name]), frac[name]).astype(np.float32) for name in network.outputs]


def returned_class(returned: Returned) -> int:
    """The class that is the answer to an image: the place of the largest element of what is returned first.

    Of an integer, which is the class already, its value.  -1 where there is nothing.
    """
    first = next(iter(returned.values()))
    if first.dtype.kind in "iu" and first.size == 1:
        return int(first.reshape(()))
    return int(first.argmax()) if first.size else -1
