"""What a layer writes itself into: ONNX graphs that grow, in the forms that this project gives a network.

A kind appends its own operators (`write_float`, `write_exact`); what is the same for all kinds, how tensors stand in
the graph, their names, their rounding, is the writer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from quant.ir.tensor import Bound, Tensor


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
