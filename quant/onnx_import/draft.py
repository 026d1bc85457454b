"""The float graph in the making: layers and simple steps in execution order, and what is known of their tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

from quant.ir.layer import FloatLayer
from quant.onnx_import.steps import Step

S = TypeVar("S", bound=Step)


@dataclass
class Draft:
    """Layers and steps; lowering appends them, fusion leaves only layers.

    shapes: (C, H, W) of every tensor.  taken: names that no tensor may get besides those of `shapes`.
    outputs: tensors that the network returns.  plumbing: names of the convolutions that compute nothing
    but move or clip data.  made_up: tensors that equal no tensor of the file.  merged: of each step that
    went into another, the name of that one.
    """

    taken: frozenset[str] = frozenset()
    steps: list[FloatLayer] = field(default_factory=list)
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    plumbing: set[str] = field(default_factory=set)
    made_up: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)

    def every(self, kind: type[S]) -> list[S]:
        """The simple steps of one kind, in order, as they are now."""
        return [step for step in self.steps if isinstance(step, kind)]

    def uses(self) -> Counter[str]:
        """How often each tensor is read; being an output of the network counts as one."""
        return Counter([tensor for step in self.steps for tensor in step.inputs] + list(self.outputs))

    def producers(self) -> dict[str, FloatLayer]:
        """The step that writes each tensor; the network's input has none."""
        return {step.output: step for step in self.steps}

    def readers(self, tensor: str) -> list[FloatLayer]:
        """The steps that read a tensor, in order."""
        return [step for step in self.steps if tensor in step.inputs]

    def fresh(self, tensor: str) -> str:
        """`tensor`, with dashes behind it as long as there is a tensor of that name."""
        while tensor in self.shapes or tensor in self.taken:
            tensor += "_"
        return tensor

    def put(self, old: FloatLayer, new: FloatLayer) -> None:
        """Put one step in the place of another."""
        self.steps[self.steps.index(old)] = new

    def merge(self, step: FloatLayer, into: FloatLayer) -> None:
        """Remove a step that has become a part of another."""
        self.steps.remove(step)
        self.merged[step.name] = into.name

    def became(self, name: str) -> str:
        """The step that a step of this name is in now."""
        while name in self.merged:
            name = self.merged[name]
        return name

    def drop_unread(self) -> None:
        """Remove steps whose result nothing reads any more."""
        kept: list[FloatLayer] = []
        needed = set(self.outputs)
        for step in reversed(self.steps):
            if step.output in needed:
                kept.append(step)
                needed.update(step.inputs)
        self.steps = kept[::-1]
