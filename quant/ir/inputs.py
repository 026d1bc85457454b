"""What a network takes: one input or several, and the shape of each in the float file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np

from quant.base.errors import BadInput

INPUT_SHAPE = "shiftpoint.input_shape"
"""Metadata key: the file's own shape of the input without the batch, where that is not (C, H, W): (H, W, C), or (C, W)
and (C,) without an area.  Of each of several inputs, with a dot and its name behind the key."""


class Sized(Protocol):
    """What holds something for each of several images, of which parts are taken."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


A = TypeVar("A", bound=Sized)
A_co = TypeVar("A_co", bound=Sized, covariant=True)


class Joint(Generic[A_co]):
    """What is given to a network of several inputs: by name as many images of each, one image of each a run.

    Parts are taken as of one array.  Raises BadInput where the numbers of images differ.
    """

    def __init__(self, arrays: Mapping[str, A_co]) -> None:
        self.arrays: Mapping[str, A_co] = dict(arrays)
        counts = {name: len(array) for name, array in self.arrays.items()}
        if len(set(counts.values())) != 1:
            text = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise BadInput(f"as many images of each input are needed, not {text}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @overload
    def __getitem__(self, part: slice) -> Joint[np.ndarray]: ...
    @overload
    def __getitem__(self, part: np.ndarray) -> Joint[A_co]: ...
    def __getitem__(self, part: slice | np.ndarray) -> Joint[Any]:
        """Some images, as the arrays give them: by a slice, or where these take that by a mask or by numbers."""
        arrays: Mapping[str, Any] = self.arrays
        return Joint({name: array[part] for name, array in arrays.items()})


Given = np.ndarray | Joint[np.ndarray]
"""Images in memory: (N, C, H, W) of the one input, or of each of several."""

Image = np.ndarray | Mapping[str, np.ndarray]
"""One image: (C, H, W), or several inputs' by name."""


def by_input(inputs: Sequence[str], given: A | Joint[A]) -> dict[str, A]:
    """What each input of a network is given, in their order.  Raises BadInput where that is not what it takes."""
    arrays = given.arrays if isinstance(given, Joint) else dict.fromkeys(inputs[:1], given)
    if set(arrays) != set(inputs):
        raise BadInput(f"the inputs {', '.join(inputs)} are needed, and {', '.join(arrays)} are given")
    return {name: arrays[name] for name in inputs}


def together(arrays: Mapping[str, A]) -> A | Joint[A]:
    """The other way round: what is given to inputs as `by_input` takes it, the one of a single input as it is."""
    return Joint(arrays) if len(arrays) > 1 else next(iter(arrays.values()))


def single(x: Image) -> Given:
    """One image as images."""
    return Joint({name: array[np.newaxis] for name, array in x.items()}) if isinstance(x, Mapping) else x[np.newaxis]


def by_run(given: Given, batch: int) -> Iterator[Given]:
    """As many images as one run takes, one run after the other; the last one has those that are left."""
    for first in range(0, len(given), batch):
        yield given[first : first + batch]


def each(given: Given) -> Iterator[Image]:
    """One image after the other."""
    if isinstance(given, Joint):
        for i in range(len(given)):
            yield {name: array[i] for name, array in given.arrays.items()}
    else:
        yield from given


def shape_key(name: str, inputs: Sequence[str]) -> str:
    """The metadata key of the file's shape of an input."""
    return INPUT_SHAPE if len(inputs) == 1 else f"{INPUT_SHAPE}.{name}"


def own_shape(metadata: Mapping[str, str], shape: tuple[int, int, int], key: str = INPUT_SHAPE) -> tuple[int, ...]:
    """The file's shape without the batch, of an input that is kept as `shape`, (C, H, W).  key: `shape_key` of it.

    Raises BadInput for metadata that state none of as many elements.
    """
    stated = metadata.get(key)
    if stated is None:
        return shape
    sizes = tuple(int(size) if size.isdecimal() else 0 for size in stated.split(","))
    if prod(sizes) != prod(shape):
        raise BadInput(f"metadata {key} is {stated!r}, which is no shape of {shape}")
    return sizes
