"""A plan for a whole network, and what became of it when it was made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from quant.compress.candidate import Candidate


@dataclass(frozen=True)
class Reshape:
    """Layers made smaller or cut, the choice of which is a search of its own.

    method: which one.  share: of the network's cycles, or of what else counts, that is to go.
    """

    method: str
    share: float

    def __str__(self) -> str:
        return f"{self.method} {self.share:.3g}"


@dataclass(frozen=True)
class Plan:
    """First the network's shape, step by step, then what is done to the layers that it has then, by name.

    origin: who proposed it, in words.
    """

    reshapes: tuple[Reshape, ...] = ()
    layers: Mapping[str, Candidate] = field(default_factory=dict)
    origin: str = "plain"

    @property
    def key(self) -> list[Any]:
        """All that it says, as a JSON value."""
        return [[asdict(each) for each in self.reshapes], {name: asdict(own) for name, own in self.layers.items()}]

    def __str__(self) -> str:
        counts = Counter(str(candidate) for candidate in self.layers.values())
        words = [str(reshape) for reshape in self.reshapes]
        words += [f"{number} x {name}" for name, number in counts.most_common()]
        return "; ".join(words) or "nothing"


PLAIN = Plan()
BYTES = "coded file"
"""The cost by name that is the size of the coded file."""


@dataclass(frozen=True)
class Point:
    """A plan that was made.

    loss: of right answers against the float network, in points of a hundred; None where it cannot be made.
    costs: what counts, by name, `BYTES` among them; none where it cannot be made.  refused: why.
    """

    plan: Plan
    loss: float | None
    costs: Mapping[str, float] = field(default_factory=dict)
    refused: str = ""

    def within(self, most: float) -> bool:
        """Whether it was made and loses no more."""
        return self.loss is not None and self.loss <= most


def front(points: Iterable[Point], cost: str) -> list[Point]:
    """Those beside which none costs less, or as little, and loses no more: the cheapest first."""
    found: list[Point] = []
    least = math.inf
    made = [(point.costs[cost], point.loss, place, point) for place, point in enumerate(points) if point.costs]
    for _, loss, _, point in sorted(made, key=lambda entry: entry[:3]):
        if loss is not None and loss < least:
            found.append(point)
            least = loss
    return found
