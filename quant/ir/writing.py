"""What a layer writes itself into: ONNX graphs that grow, in the forms that this project gives a network.

A kind appends its own operators (`write_float`, `write_exact`, `write_qdq`); what all kinds have alike, how tensors
stand in the graph, their names, their rounding, is the writer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.window import Window


class FloatNodes(Protocol):
    """Operators of one layer of a float graph (`quant.run.float_onnx`); the last one appended writes its tensor."""

    def constant(self, role: str, values: Any) -> str:
        """A float32 constant of the layer's; returns its name."""

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append an operator; returns the name of its result."""


class ExactNodes(Protocol):
    """Layers as operators that ONNX Runtime computes exactly (`quant.run.fast_onnx`, `fast_bytes`).

    tensors: of the network; bounds: the integers that each can hold.  A tensor stands as float32, or as bytes.
    """

    tensors: Mapping[str, Tensor]
    bounds: Mapping[str, Bound]

    def constant(self, name: str, values: Any, dtype: Any = ...) -> str:
        """A constant, float32 unless said otherwise, made once; returns its name."""

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operator; returns its output."""

    def in_bytes(self, *tensors: str) -> bool:
        """Whether these tensors stand as uint8."""

    def plain(self, tensor: str) -> str:
        """A tensor as it stands."""

    def standing(self, tensor: str) -> tuple[int, Any]:
        """How a tensor stands: what is added to its integers, and the type."""

    def real(self, tensor: str, shift: int = 0) -> str:
        """A tensor's integers times 2**shift, float32."""

    def wide(self, source: str) -> str:
        """float32 as float64."""

    def limits(self, clip: tuple[int, int], tensor: str) -> list[str]:
        """A clip's bounds, for a tensor as it stands."""

    def finish(self, source: str, clip: tuple[int, int], tensor: str) -> None:
        """From float32 in units of a tensor to its integers: clipped, rounded half to even."""

    def finish_wide(self, source: str, clip: tuple[int, int], tensor: str) -> None:
        """As `finish`, from float64."""


class QdqNodes(Protocol):
    """The quantized file that grows (`quant.qdq.write`): float operators between DequantizeLinear and QuantizeLinear.

    tensors: of the network.  A tensor stands in the file as a map of rank 4, or flattened in rank 2.
    """

    tensors: Mapping[str, Tensor]

    def constant(self, name: str, array: Any) -> str:
        """A constant of the array's own type; returns its name."""

    def node(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        """Append a node; returns its output."""

    def rank(self, tensor: str) -> int:
        """The rank in which a tensor stands in the file."""

    def read(self, tensor: str, rank: int) -> str:
        """The dequantized tensor in that rank."""

    def stored(self, tensor: str) -> str:
        """The integers of a tensor."""

    def state_weight_bits(self, layer: str, bits: int) -> None:
        """Note the width of a layer's weights beside their type."""


class WideNodes(Protocol):
    """A quantized file of which some layers run in float64 (`quant.qdq.wide`).  tensors: of the network."""

    tensors: Mapping[str, Tensor]

    def constant(self, name: str, array: Any) -> str:
        """A constant of the array's own type; returns its name."""

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its output."""

    def double(self, name: str) -> str:
        """A float tensor of the file as float64."""

    def shaped(self, name: str, output: str, *shape: int) -> str:
        """A tensor in another shape."""

    def bias(self, name: str, output: str) -> str:
        """A bias as float64, from its integers."""

    def windows(self, name: str, output: str, shape: Shape, window: Window) -> str:
        """The windows over a map of that shape as float64 (N, C, KH * KW, OH * OW), zeros in the padding."""
