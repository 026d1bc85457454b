"""Arrays in .npz files, read a part at a time as they are needed.

Nothing is allocated on a file's word: what an array's header claims is held against the bytes that are stored for it.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from quant.base.errors import BadInput, first_line

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How `numpy.savez` and `numpy.savez_compressed` store: what else zip files can hold needs memory by their own word."""

MOST_HEADER = 1 << 16
"""Bytes of an array's header: what says its type and its shape has a few hundred."""

BOMB_BYTES, BOMB_RATIO = 1 << 28, 200
"""An array larger than the first that was compressed to less than one in the second is no data of anybody's."""

PIECE = 1 << 20
"""Bytes read at a time."""


class StoredArray:
    """An array (N, ...) in an .npz file: its type and shape, and parts of it, cheapest in ascending order.

    label: how messages call it.  Raises BadInput where the member is no array, or was damaged; its checksum is looked
    at whenever it is read to its end.
    """

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> None:
        self._archive, self._info, self._label = archive, info, label
        self._stream: IO[bytes] | None = None
        self._next = 0
        self._whole: np.ndarray | None = None
        if info.flag_bits & 1:
            raise BadInput(f"{label} is encrypted")
        if info.compress_type not in METHODS:
            method = zipfile.compressor_names.get(info.compress_type, "an unknown method")  # type: ignore[attr-defined]
            raise BadInput(f"{label} is compressed by {method}; numpy.savez and numpy.savez_compressed do not do that")
        if info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size):
            raise BadInput(f"{label} claims {info.file_size:,} bytes from {info.compress_size:,} compressed ones")
        with self._told(), archive.open(info) as stream:
            self.shape, self._fortran, self.dtype, self._start = _read_header(stream, label)
        if self.dtype.hasobject:
            raise BadInput(f"{label} holds Python objects, not numbers")
        self._row = self.dtype.itemsize
        for size in self.shape[1:]:
            self._row *= size  # Python's integers do not overflow
        claimed = self._row * (self.shape[0] if self.shape else 1)
        if claimed != info.file_size - self._start:
            text = f"shape {self.shape} of {self.dtype} is {claimed:,} bytes, but {info.file_size - self._start:,}"
            raise BadInput(f"{label}: {text} are stored")

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """Elements along the first axis, of the array's type."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("only whole parts are read")
        if self._fortran:
            return self.whole()[start:stop]
        count = max(stop - start, 0)
        return self._read(start * self._row, count * self._row).view(self.dtype).reshape(count, *self.shape[1:])

    def whole(self) -> np.ndarray:
        """All of it."""
        if not self._fortran:
            return self[:] if self.shape else self._read(0, self._row).view(self.dtype).reshape(())
        if self._whole is None:  # its first axis is the last in the file
            numbers = self._read(0, self._info.file_size - self._start).view(self.dtype)
            self._whole = np.ascontiguousarray(numbers.reshape(self.shape[::-1]).T)
        return self._whole

    def _read(self, start: int, count: int) -> np.ndarray:
        """Bytes of the array, uint8 (count,): read on from where the last part ended, or from the beginning."""
        result = np.empty(count, np.uint8)
        with self._told():
            if self._stream is None or start < self._next:
                self._stream, self._next = self._archive.open(self._info), -self._start
            filled = 0
            while self._next < start + count:
                missing = start - self._next if self._next < start else start + count - self._next
                piece = self._stream.read(min(PIECE, missing))
                if not piece:
                    raise EOFError("it ends early")
                if self._next >= start:
                    result[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                    filled += len(piece)
                self._next += len(piece)
        return result

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong while reading as BadInput; zipfile raises a class of its own for each of the ways."""
        try:
            yield
        except BadInput:
            raise
        except Exception as error:
            self._stream = None
            raise BadInput(f"{self._label} is truncated or damaged: {first_line(error)}") from error


def open_npz(path: str | os.PathLike[str], wanted: Iterable[str]) -> dict[str, StoredArray]:
    """Those of some arrays that an .npz file has, by name; no other is looked at.

    Raises BadInput for a file that is missing, none, or no .npz, and as `StoredArray`.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
            raise BadInput(f"{path}: is no file of data")
        with open(path, "rb") as file:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                raise BadInput(f"{path}: a single array (.npy), and .npz is needed: numpy.savez(FILE, images=ARRAY)")
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except BadInput:
        raise
    except Exception as error:  # of zipfile, as above
        raise BadInput(f"{path}: not an .npz file of arrays") from error
    name, found = Path(path).name, {}
    for key in wanted:
        own = [info for info in members if info.filename == f"{key}.npy"]
        if len(own) > 1:
            raise BadInput(f"{path}: holds {len(own)} arrays `{key}`")
        if own:
            found[key] = StoredArray(archive, own[0], f"{name}: array `{key}`")
    return found


def _read_header(stream: IO[bytes], label: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether it lies in Fortran's order, type, and the bytes of the header."""
    start = stream.read(8)
    if start[:6] != np.lib.format.MAGIC_PREFIX:
        raise BadInput(f"{label} is no array of NumPy's")
    if start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise BadInput(f"{label} has a header of version {'.'.join(map(str, start[6:]))}; 1.0 to 3.0 are known")
    wide = start[6] > 1
    size = stream.read(4 if wide else 2)
    length = int.from_bytes(size, "little")
    if length > MOST_HEADER:
        raise BadInput(f"{label} has a header of {length:,} bytes")
    header = io.BytesIO(size + stream.read(length))
    parse = np.lib.format.read_array_header_2_0 if wide else np.lib.format.read_array_header_1_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers of Python 2 are read with one
            shape, fortran, dtype = parse(header)
    except Exception as error:  # the header is an expression of Python's, and its parser raises what it likes
        raise BadInput(f"{label} has no readable header") from error
    if any(size < 0 for size in shape):
        raise BadInput(f"{label}: shape {shape}")
    return shape, bool(fortran) and len(shape) > 1, dtype, len(start) + len(size) + length
