"""What weights may be while they are trained: here, any numbers.  Others say it in files of their own."""

from __future__ import annotations

import torch

from quant.search.structure import Structure
from quant.train.module import GraphModule


class Constraint:
    """Holds the weights of a module to something.

    All that changes while it does so are parameters and buffers of the module, so that these are all that a checkpoint
    needs.  It may take the place of another: what it is made on has the weights that were trained before.
    """

    def __init__(self, module: GraphModule) -> None:
        self.module = module

    def rates(self) -> list[tuple[torch.nn.Parameter, float]]:
        """The parameters that are trained, each with what the learning rate is multiplied by for it."""
        return [(parameter, 1.0) for parameter in self.module.parameters()]

    def before(self, step: int, steps: int) -> None:
        """Called before each step of so many."""

    def structures(self) -> dict[str, Structure]:
        """What the integers of layers may be, by name, where something is asked of them."""
        return {}
