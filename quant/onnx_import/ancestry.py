"""Of which tensors two tensors are both functions, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from quant.ir.functions import MOST_PARTS, Function, X

Made = Mapping[str, tuple[str, Function]]
"""Of tensors made element by element, the tensor that they were made of, and how."""

DEPTH = 12
"""Steps that are followed back: each may double a function, and no activation that exporters write has more."""


def common(made: Made, left: str, right: str) -> tuple[str, Function, Function] | None:
    """The nearest tensor of which both are functions, and these functions; None where there is none."""
    first, second = ancestors(made, left), ancestors(made, right)
    source = next((tensor for tensor in first if tensor in second), None)
    return None if source is None else (source, first[source], second[source])


def ancestors(made: Made, tensor: str) -> dict[str, Function]:
    """The tensors of which one is a function, the tensor itself first, and these functions.

    Each is put together from its innermost step on, so that parts that are alike are one: x + x of itself is not
    written out.  What no table could be made of is not followed.
    """
    found: dict[str, Function] = {tensor: X}
    steps: list[Function] = []
    while tensor in made and len(found) <= DEPTH:
        tensor, step = made[tensor]
        if step.size > MOST_PARTS:
            break
        steps.append(step)
        found[tensor] = reduce(lambda inner, outer: outer.of(inner), reversed(steps))
    return found
