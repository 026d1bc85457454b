"""The operators that give data another shape and leave their order: Flatten, Reshape, Squeeze, Unsqueeze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from quant.onnx_file.nodes import NotSupportedError

RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def new_shape(
    op: str, values: Mapping[str, Any], old: tuple[int, ...], given: Sequence[int] | None, open_batch: bool
) -> tuple[int, ...]:
    """The shape, with its batch, that a reshaping node gives data of the shape `old`.

    values: its attributes by name.  given: its second input, the shape or axes; None where it has none.
    open_batch: whether the batch, that of one image in `old`, may be any.
    Raises NotSupportedError where the result does not keep the batch apart.
    """
    new: tuple[int, ...]
    if op == "Flatten":
        axis = int(values.get("axis", 1))
        axis += len(old) if axis < 0 else 0
        if axis == 0 and open_batch:
            raise NotSupportedError("puts all images into one row", "set axis = 1")
        new = (prod(old[:axis]), prod(old[axis:]))
    elif op == "Reshape":
        new = _reshaped(values, old, given or ())
    else:
        axes = values.get("axes") if given is None else given
        new = _unsqueezed(old, axes or ()) if op == "Unsqueeze" else _squeezed(old, axes)
    if new[:1] != old[:1] or len(new) < 2 or prod(new) != prod(old):
        raise NotSupportedError(f"mixes the batch with data: its result has the shape {new}")
    if op == "Reshape" and open_batch and given is not None and given[0] > 0:
        raise NotSupportedError(
            f"takes an open batch for {given[0]}", "write -1 or 0 there, or state the input's batch"
        )
    return new


def _reshaped(values: Mapping[str, Any], old: tuple[int, ...], target: Sequence[int]) -> tuple[int, ...]:
    """As a Reshape: 0 keeps a size, -1 takes what is left."""
    if not values.get("allowzero", 0):
        if any(size == 0 and axis >= len(old) for axis, size in enumerate(target)):
            raise NotSupportedError(f"keeps a size that {old} has not")
        target = [old[axis] if size == 0 else size for axis, size in enumerate(target)]
    known = prod(size for size in target if size != -1)
    return tuple(prod(old) // max(known, 1) if size == -1 else size for size in target)


def _unsqueezed(old: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    rank = len(old) + len(axes)
    places, rest = _places(axes, rank), iter(old)
    if len(places) != len(axes):
        raise NotSupportedError(f"names an axis twice: {list(axes)}")
    return tuple(1 if axis in places else next(rest) for axis in range(rank))


def _squeezed(old: tuple[int, ...], axes: Sequence[int] | None) -> tuple[int, ...]:
    places = _places(axes or (), len(old)) or {axis for axis, size in enumerate(old) if size == 1}
    if 0 in places:
        raise NotSupportedError("squeezes the batch", "name the axes to squeeze")
    return tuple(size for axis, size in enumerate(old) if axis not in places)


def _places(axes: Sequence[int], rank: int) -> set[int]:
    """Axes counted from the front."""
    if not all(-rank <= axis < rank for axis in axes):
        raise NotSupportedError(f"names an axis that its {rank} dimensions have not: {list(axes)}")
    return {axis % rank for axis in axes}
