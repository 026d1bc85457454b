"""Which of the programs that could be made is taken: the fastest as it is counted, the best as estimated without that.

Programs are made of the choices of maps that may be the best by the usual estimate; then of the best of these, cut as
other estimates would have it; and where one of them is the better one for this network, of what else would stay by it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from host.compiler.cost import ESTIMATES, Estimate
from host.compiler.residents import Choice, Residents, Willing
from hw.contract.program import Program

FAR = 4 / 3
"""What is estimated to take so many times as long as the best is not tried: estimates are nearer than that."""
ALIKE = 1 << 10
"""Programs that differ by less than a so many-th of their cycles are as fast: that which moves least is taken."""
DOUBLED = 64
"""Of programs that other estimates give one is taken that moves twice the bytes if it saves more than a so many-th of
the cycles."""


class Made(NamedTuple):
    """A program, and the bytes that it moves to and from memory."""

    program: Program
    moved: int


class _Counted(NamedTuple):
    choice: Choice
    made: Made
    cycles: int


def best(residents: Residents, program: Callable[[Choice], Made]) -> Program:
    """The program that is estimated to be the fastest."""
    near = chain.from_iterable(_near(residents, ESTIMATES[0]).values())
    return program(min(near, key=lambda choice: choice.cycles)).program


def fastest(residents: Residents, program: Callable[[Choice], Made], cycles: Callable[[Program], int]) -> Program:
    """The fastest program as `cycles` says, of several as fast the one that moves least; or one that another estimate
    gives, if it is the better one by cycles and bytes, and not the slower one."""
    counted: dict[Hashable, _Counted] = {}

    def count(choices: Iterable[Choice]) -> Iterator[_Counted]:
        """Programs of some choices; none is made twice."""
        for choice in choices:
            key = choice.maps, residents.tilings(choice)
            if key not in counted:
                made = program(choice)
                counted[key] = _Counted(choice, made, cycles(made.program))
            yield counted[key]

    usual = list[_Counted]()
    for keep, near in _near(residents, ESTIMATES[0]).items():
        if not near:
            continue
        found = [*count(near)]
        usual += found
        plain = min(found, key=lambda one: one.cycles).choice
        found += count(replace(plain, estimate=estimate) for estimate in ESTIMATES)
        choice = _taken(found).choice
        if choice.estimate != ESTIMATES[0]:
            found += count(_near(residents, choice.estimate)[keep])
    best_usual = _taken(usual).cycles
    least = best_usual + best_usual // ALIKE
    return min((one for one in counted.values() if one.cycles <= least), key=_worth).made.program


def _worth(one: _Counted) -> float:
    """Less is better: what moves twice the bytes must take fewer cycles by a `DOUBLED`-th or so."""
    return one.cycles * float(one.made.moved) ** (1 / DOUBLED)


def _taken(found: Iterable[_Counted]) -> _Counted:
    found = [*found]
    least = min(one.cycles for one in found)
    return min((one for one in found if one.cycles <= least + least // ALIKE), key=lambda one: one.made.moved)


def _near(residents: Residents, by: Estimate) -> dict[bool, list[Choice]]:
    """Choices that may be the fastest by an estimate, each once, by whether memory holds all results: where it does not
    also those as if it did, so that this is no slower."""
    found = {
        keep: {choice.maps: choice for choice in (residents.choose(willing, by, keep) for willing in Willing)}
        for keep in ([True] if residents.keep else [False, True])
    }
    most = min(choice.cycles for choices in found.values() for choice in choices.values()) * FAR
    return {keep: [one for one in choices.values() if one.cycles <= most] for keep, choices in found.items()}
