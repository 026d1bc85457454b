"""Data that are only moved: where each element of an ONNX tensor lies in a tensor of the float graph.

Reshape, Transpose, Slice, Gather, Split, zero padding and their like compute nothing.  Each becomes a `Value`:
a tensor with the place of every element in it.  A chain of them is one array of places, in which a channel
shuffle or a change from NHWC to NCHW and back shows as what it is.  Only where a layer needs the data in
their new order are they moved, by a selection and a padding (`moves`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from quant.ir.host import HostOperation
from quant.ir.tensor import MOST_ELEMENTS
from quant.onnx_file.nodes import NotSupportedError

OUT_OF_ORDER = "moves data in a way that no layer can: channels, rows or columns change places with one another"
REORDER = "end the network before it, or reorder the network so that it is not needed"

Shape = tuple[int, int, int]
ZERO = -1
"""The place of an element that is zero whatever the data are."""


@dataclass(frozen=True, eq=False)
class Value:
    """A data tensor of the ONNX graph: elements of `tensor`, in the shape `own`; both without the batch.

    places: int64 of shape `own`, for each element its index in the flattened (C, H, W) tensor, or ZERO; None
    where they are all elements in order.  alias: the name of the ONNX tensor that this is.  maker: which node
    moved the data last, as an index into `Lowering.records`.  host: it is what
    the host makes of that.
    against: what to say, and of which node, where no layer can move the data so.
    """

    tensor: str
    own: tuple[int, ...]
    alias: str
    places: np.ndarray | None = None
    maker: int = -1
    host: HostOperation | None = None
    against: NotSupportedError | None = None

    def where(self) -> np.ndarray:
        """The places as an array in every case."""
        return np.arange(int(np.prod(self.own))).reshape(self.own) if self.places is None else self.places


def check_size(shape: Sequence[int]) -> None:
    """Raise NotSupportedError for a tensor of too many elements."""
    if prod(shape) > MOST_ELEMENTS:
        raise NotSupportedError(
            f"makes {prod(shape):,} numbers, in the shape {tuple(shape)}; {MOST_ELEMENTS:,} are the most",
            "make the images or the batch smaller, or end the network before it",
        )


def in_order(places: np.ndarray, shape: Shape) -> bool:
    """Whether these are all elements of a tensor, in order."""
    size = int(np.prod(shape))
    return places.size == size and bool(np.array_equal(places.reshape(-1), np.arange(size)))


def every_element(places: np.ndarray | None, shape: Shape) -> bool:
    """Whether these are all elements of a tensor, each once, in any order."""
    if places is None:
        return True
    size = int(np.prod(shape))
    return places.size == size and bool(np.array_equal(np.sort(places, axis=None), np.arange(size)))


def map_shape(own: tuple[int, ...]) -> Shape | None:
    """The (C, H, W) in which a tensor of this shape is kept: (C,) and (C, W) get rows of 1; None beyond that."""
    if len(own) == 3:
        return (own[0], own[1], own[2])
    return {1: (*own, 1, 1), 2: (own[0], 1, own[-1])}.get(len(own))  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Moves:
    """How a map is made of another one: channels, rows and columns are picked, copied, then zeros put around.

    channels: int64 (O,), the source of each channel, ZERO for one of zeros.  rows, columns: int64 (O,), where
    its first element comes from.  step, count: (vertical, horizontal), the same for all channels.
    factors: how often each element then stands, (vertical, horizontal).  pads: (top, left, bottom, right).
    """

    channels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    step: tuple[int, int]
    count: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    factors: tuple[int, int] = (1, 1)

    @property
    def size(self) -> Shape:
        """(O, H, W) before the padding."""
        return (len(self.channels), self.count[0] * self.factors[0], self.count[1] * self.factors[1])

    def picks_all(self, shape: Shape) -> bool:
        """Whether nothing is picked: the map is the whole source, in order."""
        return self.count == shape[1:] and np.array_equal(self.channels, np.arange(shape[0]))

    def kernel(self, shape: Shape) -> tuple[int, int]:
        """Of the convolution that picks this from a map of `shape`: just large enough for `count` positions."""
        down, across = (
            max(int(first.max()) + 1, size - count * stride + 1)
            for first, stride, count, size in zip(
                (self.rows, self.columns), self.step, self.count, shape[1:], strict=True
            )
        )
        return down, across

    def weights(self, shape: Shape) -> int:
        """How many weights that convolution has."""
        kept = np.array_equal(self.channels, np.arange(shape[0]))
        return len(self.channels) * (1 if kept else shape[0]) * int(np.prod(self.kernel(shape)))


def moves(places: np.ndarray, shape: Shape) -> Moves | None:
    """The moves that put the elements of a (C, H, W) tensor at `places`, int64 (O, R, S); None where none do.

    They exist where all channels take their rows and columns alike, with steps of at least 1, each from one
    channel; their first row and column may differ.  Elements may come in blocks of copies.
    """
    real = places >= 0
    if not real.any():
        return None
    (top, bottom), (left, right) = (_ends(np.asarray(real.any(axis))) for axis in ((0, 2), (0, 1)))
    pads = (top, left, places.shape[1] - bottom, places.shape[2] - right)
    inner = places[:, top:bottom, left:right]
    found = picked(inner, shape)
    if found is None:
        down, across = copies(inner, 1), copies(inner, 2)
        found = picked(inner[:, ::down, ::across], shape)
        return None if found is None else replace(found, pads=pads, factors=(down, across))
    return replace(found, pads=pads)


def copies(places: np.ndarray, axis: int) -> int:
    """The largest number such that along the axis all elements come in groups of so many alike."""
    size = places.shape[axis]
    changes = np.diff(places, axis=axis).any(axis=tuple(other for other in range(3) if other != axis))
    return int(np.gcd.reduce([size, *(np.flatnonzero(changes) + 1)]))


def picked(inner: np.ndarray, shape: Shape) -> Moves | None:
    """As `moves`, without padding and copies."""
    real = inner >= 0
    kept = real.any((1, 2))
    if not real[kept].all():
        return None
    _, height, width = shape
    count = (inner.shape[1], inner.shape[2])
    first = inner[kept, 0, 0]
    channels, rows, columns = np.unravel_index(first, shape)
    steps = [1, 1]
    if count[0] > 1:
        steps[0] = int(inner[kept, 1, 0][0] - first[0]) // width
    if count[1] > 1:
        steps[1] = int(inner[kept, 0, 1][0] - first[0])
    if min(steps) < 1:
        return None
    down, across = np.arange(count[0]) * steps[0], np.arange(count[1]) * steps[1]
    expected = first[:, None, None] + down[:, None] * width + across
    fits = rows.max() + down[-1] < height and columns.max() + across[-1] < width
    if not fits or not np.array_equal(inner[kept], expected):
        return None
    whole = [np.zeros(len(inner), np.int64) for _ in range(3)]
    whole[0][:] = ZERO
    for target, part in zip(whole, (channels, rows, columns), strict=True):
        target[kept] = part
    return Moves(whole[0], whole[1], whole[2], (steps[0], steps[1]), count)


def _ends(real: np.ndarray) -> tuple[int, int]:
    """The first true element of a vector, and one past the last."""
    found = np.flatnonzero(real)
    return int(found[0]), int(found[-1]) + 1
