"""From steps to the stream of instructions, in the order of dispatch.

The stream is that of the steps; what must be loaded runs ahead of it (`prefetch`), results follow at once.  Where
everything lies in the rings is `room`'s, what the fields then hold `encode`'s.  What must wait for what is found
afterwards, from what each instruction reads and writes (`tokens`).

Dispatch in this order cannot deadlock, however short the queues: a token is always given by an earlier instruction.
So of the instructions that are not done, the first waits for nothing, nor is it held back by a full queue, for what
stands before it in its queue is done.
"""

from __future__ import annotations

from collections.abc import Mapping

from host.compiler.encode import Encoder
from host.compiler.memory import MemoryMap
from host.compiler.operation import Operation, operation
from host.compiler.prefetch import Prefetch
from host.compiler.room import Room
from host.compiler.steps import Plan
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import SetupInstruction


def emit(plan: Plan, memory: MemoryMap, config: AcceleratorConfig, pool_layers: Mapping[int, int]) -> list[Operation]:
    """All operations of a program, in the order of dispatch.

    pool_layers: for layers whose pooling is a layer of its own in the manifest, that one's index.
    """
    room = Room(config, plan)
    prefetch = Prefetch(plan, memory, config, room)
    encoder = Encoder(memory, config, room, pool_layers)
    operations: list[Operation] = []
    present: SetupInstruction | None = None
    for index, step in enumerate(plan.steps):
        for fill in prefetch.before(index):
            operations += encoder.loads(fill)
        setup = encoder.setup(step)
        if step.table is not None:
            operations.append(encoder.load_table(step, setup))
        elif setup != present:
            operations.append(operation(setup))
        present = setup
        operations += encoder.conv(step)
        prefetch.passed(index)
        room.release(step, index)
    return operations
