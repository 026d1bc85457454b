"""Instructions to be: all but their tokens, and where weights and tensors begin in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from host.compiler.tokens import Access, Task
from hw.contract.isa import Instruction, LoadInstruction, StoreInstruction

Base = Literal["weights", "tensors"]


@dataclass(eq=False)
class Operation:
    """An instruction, what it reads and writes, and what its address counts from, if it has one."""

    instruction: Instruction
    task: Task
    base: Base | None = None

    def finished(self, bases: Mapping[Base, int]) -> Instruction:
        """The instruction with its tokens and its address in the window, once the tasks are scheduled."""
        instruction = replace(self.instruction, wait=self.task.wait, signal=self.task.signal)
        if self.base is None:
            return instruction
        if not isinstance(instruction, LoadInstruction | StoreInstruction):
            raise AssertionError(f"{instruction.opcode.name} has no address")
        return replace(instruction, address=instruction.address + bases[self.base])


def operation(
    instruction: Instruction, reads: Sequence[Access] = (), writes: Sequence[Access] = (), base: Base | None = None
) -> Operation:
    """An operation with its accesses."""
    return Operation(instruction, Task(instruction.opcode.unit, reads, writes), base)
