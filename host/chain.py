"""Holding two ways to a layer's output against each other, element by element."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from quant.ir.digest import digest

Tensors = Mapping[str, np.ndarray]
"""Integers of each tensor by name, (N, C, H, W)."""


@dataclass(frozen=True, eq=False)
class Taken:
    """What one way gave: tensors, and facts for the report as JSON values, `cycles` among them if it has a clock.

    returned: of a network with a tail, what that made of the tensors of each image.
    """

    tensors: Tensors
    facts: dict[str, Any] = field(default_factory=dict)
    returned: Sequence[Mapping[str, np.ndarray]] = ()

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each tensor over all its images."""
        return {name: digest(values) for name, values in self.tensors.items()}

    @cached_property
    def returned_digests(self) -> dict[str, str]:
        """Of each array that is returned, over all images: SHA-256 of types, shapes and bits."""
        found = {name: hashlib.sha256() for name in (self.returned[0] if self.returned else ())}
        for one in self.returned:
            for name, array in one.items():
                found[name].update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return {name: value.hexdigest() for name, value in found.items()}

    def to_json(self) -> dict[str, Any]:
        """All but the tensors themselves."""
        returned = {"returned": self.returned_digests} if self.returned else {}
        return {**self.facts, "digests": self.digests, **returned}


@dataclass(frozen=True)
class Break:
    """Where two legs differ first: image, channel, row and column of one tensor."""

    layer: str
    tensor: str
    image: int
    channel: int
    row: int
    column: int
    expected: int
    got: int
    expected_by: str
    got_by: str
    differing: int
    elements: int

    def __str__(self) -> str:
        return (
            f"layer {self.layer} (tensor {self.tensor}): image {self.image}, channel {self.channel}, row {self.row}, "
            f"column {self.column}: expected {self.expected} ({self.expected_by}), got {self.got} ({self.got_by}); "
            f"{self.differing} of {self.elements} elements differ"
        )


def first_break(
    layers: Iterable[tuple[str, str]], expected: Tensors, got: Tensors, expected_by: str, got_by: str
) -> Break | None:
    """The first difference between two legs, in the order of `layers` (layer name, tensor it leaves).

    Tensors that only one leg has are passed over.  Shapes must agree (ValueError).
    """
    for layer, tensor in layers:
        if tensor not in expected or tensor not in got:
            continue
        a, b = np.asarray(expected[tensor]), np.asarray(got[tensor])
        if a.shape != b.shape:
            raise ValueError(f"{tensor}: {expected_by} has shape {a.shape}, {got_by} {b.shape}")
        different = a != b
        if different.any():
            image, channel, row, column = (int(i) for i in np.argwhere(different)[0])
            at = image, channel, row, column
            return Break(
                layer=layer,
                tensor=tensor,
                image=image,
                channel=channel,
                row=row,
                column=column,
                expected=int(a[at]),
                got=int(b[at]),
                expected_by=expected_by,
                got_by=got_by,
                differing=int(different.sum()),
                elements=a.size,
            )
    return None


def compared(
    layers: Iterable[tuple[str, str]], expected: Tensors, got: Tensors, expected_by: str, got_by: str
) -> dict[str, Any]:
    """How two ways compare, as JSON values: how much was held against each other, and the first difference."""
    layers = list(layers)
    found = first_break(layers, expected, got, expected_by, got_by)
    both = [t for t in dict.fromkeys(tensor for _, tensor in layers) if t in expected and t in got]
    return {
        "tensors_compared": len(both),
        "elements_compared": sum(got[t].size for t in both),
        "mismatches": sum(int((got[t] != expected[t]).sum()) for t in both),
        "first_mismatch": None if found is None else str(found),
    }
