"""How a program stores the weights of its layers, by its instructions: in which format, and which blocks are there."""

from __future__ import annotations

from typing import NamedTuple

from hw.contract.isa import ConvInstruction, SetupInstruction
from hw.contract.program import Program
from hw.contract.weights import weight_format
from sim.taps import group_passes, weight_blocks


class Stored(NamedTuple):
    """The weights of a layer.  format: name of the weight format.  passes, every: those that its CONVs do with a
    weight block each, and those that they would do if no block of zeros was left out."""

    format: str
    passes: int
    every: int

    @property
    def share(self) -> float:
        """Of the blocks that are there, weighted by how often each is read."""
        return self.passes / self.every

    def __str__(self) -> str:
        return self.format if self.passes == self.every else f"{self.format}, {self.share:.0%} of blocks"


def stored_weights(program: Program) -> dict[int, Stored]:
    """By the layer that instructions name; the compiler gives each one format.  A layer without weights of its own, an
    addition for instance, has those that its passes copy by.

    Raises BadInput for a program that no engine can run.
    """
    found: dict[int, Stored] = {}
    setup = SetupInstruction()
    for i in program.decode():
        if isinstance(i, SetupInstruction):
            setup = i
        elif isinstance(i, ConvInstruction):
            _, passes, every = found.get(i.layer, ("", 0, 0))
            dense = i.input_groups * group_passes(setup)
            name = weight_format(setup.weight_format).name
            found[i.layer] = Stored(name, passes + weight_blocks(setup, i), every + dense)
    return found
