"""All layers together: the plans that harm least for what they save, from nothing done to the most.

The noises that layers bring to the network's outputs add up, to first order.  Then a plan is best, for one price of a
byte in noise, where each layer has the candidate of the least noise + price * bytes: a corner of the lower convex hull
of its candidates (Everett 1963, Lagrange multipliers for discrete choices).  As the price rises layers go on from
corner to corner, the one first whose next step brings the least noise for what it saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quant.compress.candidate import Candidate
from quant.optimize.survey import Option


@dataclass(frozen=True)
class Step:
    """What layers have, by name, those to which nothing is done left out; the noise and the bytes of all together."""

    layers: Mapping[str, Candidate]
    noise: float
    bytes: float


def path(layers: Mapping[str, Sequence[Option]]) -> list[Step]:
    """All corners for all prices.  layers: options by name, to do nothing among them and first."""
    corners = {name: hull(options) for name, options in layers.items()}
    rates = sorted(
        (_rate(before, after), place, number, name)
        for place, (name, every) in enumerate(corners.items())
        for number, (before, after) in enumerate(pairwise(every))
    )
    now = {name: every[0] for name, every in corners.items()}
    found = [_step(now)]
    for _, _, number, name in rates:
        now[name] = corners[name][number + 1]
        found.append(_step(now))
    return found


def hull(options: Sequence[Option]) -> list[Option]:
    """From the first on those of fewer and fewer bytes between which noise rises least, each step more steeply."""
    found = [options[0]]
    while further := [option for option in options if option.bytes < found[-1].bytes]:
        found.append(min(further, key=lambda option: (_rate(found[-1], option), option.bytes)))
    return found


def _rate(before: Option, after: Option) -> float:
    """Noise brought for a byte saved."""
    return (after.noise - before.noise) / (before.bytes - after.bytes)


def _step(now: Mapping[str, Option]) -> Step:
    done = {name: option.candidate for name, option in now.items() if option.candidate != Candidate()}
    return Step(done, sum(option.noise for option in now.values()), sum(option.bytes for option in now.values()))
