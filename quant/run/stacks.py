"""Arrays (N, ...) that are written and read by images: in memory where they are small, in a temporary file else.

What a network makes of a set of images grows with the set; with these, memory does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

import numpy as np

from quant.base.errors import BadInput

MEMORY = 64 << 20
"""Bytes up to which arrays are kept in memory."""


class Maps(Protocol):
    """An array (N, ...) of which parts are taken: of NumPy, a `Stack`, a set of images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


class Stack:
    """An array in a file that others may share, from an offset on.  Raises BadInput where the file finds no room."""

    def __init__(self, file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._file, self._offset, self.shape, self.dtype = file, offset, shape, dtype
        self._row = dtype.itemsize * int(np.prod(shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """Some images, in order, of the array's type."""
        start, stop, _ = part.indices(len(self))
        self._file.seek(self._offset + start * self._row)
        values = np.fromfile(self._file, self.dtype, (stop - start) * self._row // self.dtype.itemsize)
        return values.reshape(stop - start, *self.shape[1:])

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Images by their numbers, int64 (n,), in any order."""
        every = np.memmap(self._file, self.dtype, "r", self._offset, self.shape)
        return np.array(every[numbers])

    def __setitem__(self, part: slice, values: np.ndarray) -> None:
        """Write some images."""
        try:
            self._file.seek(self._offset + part.start * self._row)
            self._file.write(np.ascontiguousarray(values, self.dtype).data)
            self._file.flush()
        except OSError as error:
            raise BadInput(f"no room for temporary data in {tempfile.gettempdir()}: {error.strerror}") from error


class Applied:
    """An array to every part of which something is done when it is taken.  function: arrays to arrays of one shape."""

    def __init__(self, source: Maps, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._source, self._function = source, function

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return self._source.shape

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self._function(self._source[part])


def stacks(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> dict[str, np.ndarray | Stack]:
    """Arrays of these shapes, to be written: all in memory, or all in one file, which vanishes with the last of them.

    Raises BadInput where no temporary file can be made.
    """
    sizes = {name: dtype.itemsize * int(np.prod(shape)) for name, shape in shapes.items()}
    if sum(sizes.values()) <= MEMORY:
        return {name: np.empty(shape, dtype) for name, shape in shapes.items()}
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the arrays hold it
    except OSError as error:
        raise BadInput(f"no temporary file in {tempfile.gettempdir()}: {error.strerror}") from error
    made: dict[str, np.ndarray | Stack] = {}
    offset = 0
    for name, shape in shapes.items():
        made[name] = Stack(file, offset, shape, dtype)
        offset += sizes[name]
    return made


def stack(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | Stack:
    """One such array."""
    return stacks({"": shape}, dtype)[""]
