"""Layers of an integer network as ONNX operators that ONNX Runtime, optimizations and all, computes exactly.

A tensor's integers stand as float32; each kind writes its operators (`Layer.write_exact`), and here is what they have
in common.  Clipping comes before rounding, since integer bounds survive either order and ONNX Runtime fuses a Clip into
the convolution before it.  Rounding to even is x + 1.5 * 2**23 - 1.5 * 2**23, each of them correctly rounded, as two
batch normalisations: those ONNX Runtime computes in the blocked layout (NCHWc) of its convolutions, where Round would
have every tensor reordered twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Bound
from quant.ir.writing import ExactNodes
from quant.onnx_file.weights import Beside, constant

MAGIC = float(np.float32(1.5 * 2**23))
"""In the middle of the numbers whose float32 neighbours are the integers."""

ROUND_EXACT = 1 << 22
"""Up to this magnitude adding MAGIC rounds to an integer."""


def is_exact(network: Network, layer: Layer, bounds: Mapping[str, Bound]) -> bool:
    """Whether it is proved that `quant.run.fast_bytes.fast_model` computes a layer exactly, whatever its input.

    bounds: `quant.ir.bounds.tensor_bounds(network)`.
    """
    if max(bounds[name].magnitude for name in (*layer.inputs, layer.output)) > ROUND_EXACT:
        return False
    return layer.is_exact(network.tensors, bounds)


class FloatWriter(ExactNodes):
    """The growing graph, all tensors float32."""

    def __init__(self, network: Network, beside: Beside | None = None) -> None:
        self.beside = beside
        self.tensors, self.bounds = network.tensors, tensor_bounds(network)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.made: set[str] = set()

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """As `ExactNodes.constant`."""
        if name not in self.constants:
            array = np.asarray(values).astype(dtype, copy=False)
            self.constants[name] = constant(array, name, self.beside)
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """As `ExactNodes.node`."""
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        self.made.add(output)
        return output

    def fmt(self, name: str) -> QFormat:
        """A tensor's format."""
        return self.tensors[name].fmt

    def in_bytes(self, *tensors: str) -> bool:
        """As `ExactNodes.in_bytes`."""
        return False

    def plain(self, tensor: str) -> str:
        """As `ExactNodes.plain`."""
        return tensor

    def real(self, tensor: str, shift: int = 0) -> str:
        """As `ExactNodes.real`."""
        name = f"{tensor}/shifted{shift}" if shift else tensor
        if shift and name not in self.made:
            self.affine(tensor, float(np.ldexp(1.0, shift)), 0.0, name, tensor)
        return name

    def standing(self, tensor: str) -> tuple[int, Any]:
        """As `ExactNodes.standing`."""
        return 0, np.float32

    def limits(self, clip: tuple[int, int], name: str) -> list[str]:
        """As `ExactNodes.limits`."""
        return [self.constant(f"{name}/{side}", bound) for side, bound in zip(("low", "high"), clip, strict=True)]

    def wide(self, source: str) -> str:
        """As `ExactNodes.wide`."""
        name = f"{source}/wide"
        return name if name in self.made else self.node("Cast", [source], name, to=TensorProto.DOUBLE)

    def finish(self, source: str, clip: tuple[int, int], name: str) -> None:
        """As `ExactNodes.finish`."""
        limits = [self.constant(f"{name}/{side}", bound) for side, bound in zip(("low", "high"), clip, strict=True)]
        self.rounded(self.node("Clip", [source, *limits], f"{name}/clipped"), name)

    def finish_wide(self, source: str, clip: tuple[int, int], name: str) -> None:
        """As `ExactNodes.finish_wide`."""
        limits = [self.constant(f"wide{bound}", bound, np.float64) for bound in clip]
        whole = self.node("Round", [self.node("Clip", [source, *limits], f"{name}/clipped")], f"{name}/rounded")
        self.whole(self.node("Cast", [whole], self.before(name), to=TensorProto.FLOAT), name)

    def before(self, name: str) -> str:
        """What to call a tensor's integers as float32, when `whole` follows."""
        return name

    def whole(self, source: str, name: str) -> None:
        """Integers as float32 to the tensor as it stands."""

    def rounded(self, source: str, name: str) -> None:
        """Half to even.  `source` is the result of a Clip, so that no convolution takes these up as its bias."""
        above = self.affine(source, 1.0, MAGIC, f"{name}/above", name)
        self.affine(above, 1.0, -MAGIC, name, name)

    def affine(self, source: str, factor: float, offset: float, output: str, like: str) -> str:
        """source * factor + offset as a batch normalisation.  like: a tensor with as many channels."""
        channels = self.tensors[like].shape[0]
        values = [
            self.constant(f"{role}{value:g}x{channels}", np.full(channels, value))
            for role, value in (("scale", factor), ("offset", offset), ("mean", 0.0), ("variance", 1.0))
        ]
        return self.node("BatchNormalization", [source, *values], output, epsilon=0.0)
