"""How is trained; without PyTorch, so that a command line can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quant.base.errors import BadInput

Augment = Literal["none", "shift", "flip"]
Optimizer = Literal["sgd", "adamw"]
Start = Literal["solved", "weights"]

RATES: dict[Optimizer, float] = {"sgd": 0.004, "adamw": 0.0015}
"""Learning rates where none is given."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The same settings, examples and network give the same weights.

    rate: the learning rate of the first steps, one that suits the optimizer where None.  distil: the part of the loss
    that is held against the float network's answers, the rest against labels.  augment: what is done to images: none,
    shifted by up to an eighth of their size, or mirrored, too.  mix: then each is blended with another, in any
    proportion, as their labels are.  bfloat16: compute in it where PyTorch sees fit.
    thrift: what a bit counts where weights choose the value that they share, over the mean square of the layer's.
    start: with which weights it begins: as they are solved for without training, or with the network's, as published.
    """

    epochs: int = 20
    batch: int = 64
    optimizer: Optimizer = "sgd"
    rate: float | None = None
    distil: float = 0.8
    augment: Augment = "none"
    mix: bool = False
    bfloat16: bool = False
    thrift: float = 0.0
    start: Start = "solved"
    seed: int = 1

    @property
    def learning_rate(self) -> float:
        """Of the first steps."""
        return RATES[self.optimizer] if self.rate is None else self.rate

    def check(self) -> None:
        """Raise BadInput for settings that there cannot be."""
        if self.epochs < 1 or self.batch < 1:
            raise BadInput(f"training takes an epoch and an image a step at least, not {self.epochs} and {self.batch}")
        if self.rate is not None and not 0 < self.rate <= 10:
            raise BadInput(f"a learning rate is above 0 and 10 at most, not {self.rate:g}")
        if not 0 <= self.distil <= 1:
            raise BadInput(f"the part of the loss that is distilled is 0 to 1, not {self.distil:g}")
        if not 0 <= self.thrift <= 10:
            raise BadInput(f"what a bit counts is 0 to 10, not {self.thrift:g}")
        if self.seed < 0:
            raise BadInput(f"a seed is 0 at least, not {self.seed}")
