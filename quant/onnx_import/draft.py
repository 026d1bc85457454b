"""The float graph in the making: layers and simple steps in execution order, and what is known of their tensors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeVar

from quant.ir.layer import FloatLayer
from quant.onnx_import.steps import Step

S = TypeVar("S", bound=Step)


class Draft:
    """Layers and steps; lowering appends them, fusion leaves only layers.

    shapes: (C, H, W) of every tensor.  taken: names that no tensor may get besides those of `shapes`.
    outputs: tensors that the network returns.  plumbing: names of the convolutions that compute nothing
    but move or clip data.  made_up: tensors that equal no tensor of the file.  merged: of each step that
    went into another, the name of that one.

    Who writes and who reads a tensor is kept and not searched for, so that a network takes time as it has nodes.
    """

    def __init__(
        self,
        taken: frozenset[str] = frozenset(),
        steps: Iterable[FloatLayer] = (),
        shapes: dict[str, tuple[int, int, int]] | None = None,
        outputs: tuple[str, ...] = (),
    ) -> None:
        self.taken, self.shapes, self.outputs = taken, shapes or {}, outputs
        self.plumbing: set[str] = set()
        self.made_up: set[str] = set()
        self.merged: dict[str, str] = {}
        self._slots: list[tuple[FloatLayer, ...]] = []  # of each step that was appended, what stands there now
        self._slot: dict[FloatLayer, int] = {}
        self._names: Counter[str] = Counter()
        self._writers: dict[str, FloatLayer] = {}
        self._readers: defaultdict[str, dict[FloatLayer, None]] = defaultdict(dict)
        for step in steps:
            self.append(step)

    @property
    def steps(self) -> list[FloatLayer]:
        """All steps, in order, as they are now."""
        return self.since(0)

    @property
    def appended(self) -> int:
        """How many steps were appended so far."""
        return len(self._slots)

    def every(self, kind: type[S]) -> list[S]:
        """The simple steps of one kind, in order, as they are now."""
        return [step for step in self.steps if isinstance(step, kind)]

    def since(self, count: int) -> list[FloatLayer]:
        """The steps behind the first `count` that were appended."""
        return [step for slot in self._slots[count:] for step in slot]

    def __contains__(self, step: FloatLayer) -> bool:
        return step in self._slot

    def has(self, name: str) -> bool:
        """Whether a step has this name."""
        return self._names[name] > 0

    def place(self, step: FloatLayer) -> tuple[int, int]:
        """Where a step stands: of two the later one has the larger place."""
        slot = self._slot[step]
        return slot, self._slots[slot].index(step)

    def uses(self, tensor: str) -> int:
        """How often a tensor is read; being an output of the network counts as one."""
        read = sum(step.inputs.count(tensor) for step in self._readers.get(tensor, ()))
        return read + self.outputs.count(tensor)

    def writer(self, tensor: str) -> FloatLayer | None:
        """The step that writes a tensor; the network's input has none."""
        return self._writers.get(tensor)

    def readers(self, tensor: str) -> list[FloatLayer]:
        """The steps that read a tensor, in order."""
        return sorted(self._readers.get(tensor, ()), key=self.place)

    def fresh(self, tensor: str) -> str:
        """`tensor`, with dashes behind it as long as there is a tensor of that name."""
        while tensor in self.shapes or tensor in self.taken:
            tensor += "_"
        return tensor

    def append(self, step: FloatLayer) -> None:
        """Put a step behind all others."""
        self._slots.append((step,))
        self._note(step, len(self._slots) - 1)

    def put(self, old: FloatLayer, *new: FloatLayer) -> None:
        """Put other steps, one or several or none, in the place of one."""
        slot, at = self.place(old)
        self._slots[slot] = (*self._slots[slot][:at], *new, *self._slots[slot][at + 1 :])
        del self._slot[old]
        self._names[old.name] -= 1
        if self._writers.get(old.output) is old:  # else what it became writes that already
            del self._writers[old.output]
        for tensor in set(old.inputs):
            del self._readers[tensor][old]
        for step in new:
            self._note(step, slot)

    def _note(self, step: FloatLayer, slot: int) -> None:
        self._slot[step] = slot
        self._names[step.name] += 1
        self._writers[step.output] = step
        for tensor in step.inputs:
            self._readers[tensor][step] = None

    def merge(self, step: FloatLayer, into: FloatLayer) -> None:
        """Remove a step that has become a part of another."""
        self.put(step)
        self.merged[step.name] = into.name

    def became(self, name: str) -> str:
        """The step that a step of this name is in now."""
        while name in self.merged:
            name = self.merged[name]
        return name

    def drop_unread(self) -> None:
        """Remove steps whose result nothing reads any more."""
        needed = set(self.outputs)
        for step in reversed(self.steps):
            if step.output in needed:
                needed.update(step.inputs)
            else:
                self.put(step)
