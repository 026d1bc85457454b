"""What the host makes of a network's outputs once the engine is done: a Softmax, for instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "ArgMax": ("axis", "keepdims", "select_last_index"),
    "LogSoftmax": ("axis",),
    "Sigmoid": (),
    "Softmax": ("axis",),
}
"""The operators of ONNX that are left to the host, and their attributes."""


@dataclass(frozen=True)
class HostOperation:
    """An operator of ATTRIBUTES, as ONNX means it from opset 13 on.

    attributes: all of them in that order; an axis is counted from 0, the batch.
    """

    op: str
    attributes: tuple[tuple[str, int], ...] = ()

    def shape(self, own: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of its result, of an output of this shape; both without the batch."""
        if self.op != "ArgMax":
            return own
        numbers = dict(self.attributes)
        axis = numbers["axis"] - 1
        return (*own[:axis], *([1] if numbers["keepdims"] else []), *own[axis + 1 :])

    @property
    def suffix(self) -> str:
        """What the name of its result has behind that of the output."""
        return f"_{self.op.lower()}"


Results = tuple[tuple[str, HostOperation | None], ...]
"""What a network returns, in order: an output's name, and what the host makes of it; None: nothing."""
