"""Which of the programs that could be made is taken: the fastest as it is counted, the best as estimated without that.

Programs are made of the choices of maps that may be the best by the usual estimate; then of the best of these cut as
other estimates would have it; and where one of them is the better one for this network, of what else would stay by it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import NamedTuple

from host.compiler.cost import ESTIMATES, Estimate
from host.compiler.residents import Choice, Residents, Willing
from hw.contract.program import Program

FAR = 4 / 3
"""What is estimated to take so many times as long as the best is not tried: estimates are nearer than that."""
ALIKE = 1 << 10
"""Programs that differ by less than a so many-th of their cycles are as fast: that which moves least is taken."""


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
    return program(_choices(residents, ESTIMATES[0])[0]).program


def fastest(residents: Residents, program: Callable[[Choice], Made], cycles: Callable[[Program], int]) -> Program:
    """The fastest program as `cycles` says; of several as fast the one that moves least."""
    counted: dict[Hashable, _Counted] = {}

    def add(choices: Iterable[Choice]) -> Choice:
        """Make those that are none of the programs made before; the best of all."""
        for choice in choices:
            key = choice.maps, residents.tilings(choice)
            if key not in counted:
                made = program(choice)
                counted[key] = _Counted(choice, made, cycles(made.program))
        return taken().choice

    def taken() -> _Counted:
        least = min(one.cycles for one in counted.values())
        alike = [one for one in counted.values() if one.cycles <= least + least // ALIKE]
        return min(alike, key=lambda one: one.made.moved)

    choice = add(_choices(residents, ESTIMATES[0]))
    choice = add(replace(choice, estimate=estimate) for estimate in ESTIMATES[1:])
    if choice.estimate != ESTIMATES[0]:
        add(_choices(residents, choice.estimate))
    return taken().made.program


def _choices(residents: Residents, by: Estimate) -> list[Choice]:
    """Those that may be the fastest by an estimate, the best first."""
    found = [residents.choose(willing, by) for willing in Willing]
    if not residents.keep:  # those that would be made if memory held all results, too: so this is never the slower
        found += [residents.choose(willing, by, keep=True) for willing in Willing]
    found = sorted({choice.maps: choice for choice in found}.values(), key=lambda choice: choice.cycles)
    return [choice for choice in found if choice.cycles <= found[0].cycles * FAR]
