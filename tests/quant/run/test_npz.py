"""Arrays in .npz files: read in parts, and whatever such a file can claim or lack refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.run.npz import PIECE, StoredArray, open_npz

NUMBERS = np.arange(7 * 3 * 5, dtype=np.float32).reshape(7, 3, 5)


def header(text: str, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + text.encode()


def described(descr: str = "<f4", shape: str = "(7, 3, 5)", order: str = "False") -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")


def archive(path: Path, *contents: bytes, name: str = "images.npy", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for content in contents:
            file.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.npz"


def opened(path: Path) -> StoredArray:
    return open_npz(path, ["images"])["images"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_parts_are_read_in_any_order(path: Path, save: Callable[..., None]) -> None:
    many = np.random.default_rng(0).integers(0, 256, (40, PIECE // 20), np.uint8)
    save(path, images=many, labels=np.arange(40), other=np.zeros(3))
    found = open_npz(path, ["images", "labels", "absent"])
    assert sorted(found) == ["images", "labels"]
    images = found["images"]
    assert (images.shape, images.dtype, len(images), images.ndim) == (many.shape, np.uint8, 40, 2)
    for part in (slice(0, 1), slice(30, 40), slice(2, 33), slice(5, 5), slice(None)):
        assert np.array_equal(images[part], many[part])
    assert np.array_equal(found["labels"].whole(), np.arange(40))


def test_only_what_is_asked_for_is_read(path: Path) -> None:
    many = np.random.default_rng(1).random((7, 4000), np.float32)  # more than is read ahead
    np.savez(path, images=many)
    data = bytearray(path.read_bytes())
    data[data.index(many[6].tobytes())] ^= 1
    path.write_bytes(data)
    images = opened(path)
    assert np.array_equal(images[:6], many[:6])
    with pytest.raises(BadInput, match=r"^set.npz: array `images` is truncated or damaged: Bad CRC-32"):
        images[:]


@pytest.mark.parametrize("kept", [np.asfortranarray(NUMBERS), NUMBERS.astype(">f4"), np.float32(3), np.zeros((0, 4))])
def test_every_order_and_rank_is_read(path: Path, kept: np.ndarray) -> None:
    np.savez(path, images=kept)
    images = opened(path)
    assert images.dtype == kept.dtype and np.array_equal(images.whole(), kept)
    if kept.ndim:
        assert np.array_equal(images[1:3], kept[1:3])


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_headers_of_every_version_are_read(path: Path, version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, NUMBERS, version=version)
    assert np.array_equal(opened(archive(path, file.getvalue()))[2:4], NUMBERS[2:4])


DATA = NUMBERS.tobytes()
HOSTILE: dict[str, tuple[bytes, str]] = {
    "no array": (b"hello", "is no array of NumPy's"),
    "nothing": (b"", "is no array of NumPy's"),
    "another version": (header("{}", (9, 1)), "has a header of version 9.1; 1.0 to 3.0 are known"),
    "a long header": (header("{}", (2, 0), 1 << 31), "has a header of 2,147,483,648 bytes"),
    "a header cut off": (header("{", (1, 0), 60), "has no readable header"),
    "a header that is no expression": (header("(" * 9000), "has no readable header"),
    "a header that lacks a key": (header("{'descr': '<f4'}"), "has no readable header"),
    "an unknown type": (described("<q9") + DATA, "has no readable header"),
    "objects": (described("|O") + DATA, "holds Python objects, not numbers"),
    "negative sizes": (described(shape="(-1, 3, 5)") + DATA, "shape (-1, 3, 5)"),
    "a claim of 4 TB": (
        described(shape="(1000000000000,)") + DATA,
        "shape (1000000000000,) of float32 is 4,000,000,000,000 bytes, but 420 are stored",
    ),
    "a product beyond 64 bits": (
        described(shape="(4294967296, 4294967296)") + DATA,
        "shape (4294967296, 4294967296) of float32 is 73,786,976,294,838,206,464 bytes, but 420 are stored",
    ),
    "too few bytes": (described() + DATA[:-4], "is 420 bytes, but 416 are stored"),
    "too many bytes": (described() + DATA + b"more", "is 420 bytes, but 424 are stored"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_an_array_claims_is_held_against_the_file(path: Path, case: str) -> None:
    content, reason = HOSTILE[case]
    with pytest.raises(BadInput) as error:
        opened(archive(path, content))
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_LZMA, "lzma"), (zipfile.ZIP_BZIP2, "bzip2")])
def test_other_compressions_are_refused(path: Path, method: int, name: str) -> None:
    with pytest.raises(BadInput, match=f"^set.npz: array `images` is compressed by {name}; numpy.savez"):
        opened(archive(path, described() + DATA, method=method))


def altered(path: Path, offset: int, value: bytes) -> Path:
    """An archive of one array with other bytes at an offset of both its headers."""
    data = bytearray(archive(path, described() + DATA).read_bytes())
    for start in (6, data.index(b"PK\x01\x02") + 8):
        data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)
    return path


def test_encryption_and_unknown_compressions_are_refused(path: Path) -> None:
    with pytest.raises(BadInput, match="is encrypted$"):
        opened(altered(path, 0, b"\x01\x00"))
    for method, name in ((9, "deflate64"), (77, "an unknown method")):
        with pytest.raises(BadInput, match=f"is compressed by {name}; numpy.savez"):
            opened(altered(path, 2, struct.pack("<H", method)))


def test_bombs_are_refused_before_they_are_unpacked(path: Path) -> None:
    size = 1 << 29
    start = described("|u1", f"({size},)")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("images.npy", "w") as member:
        member.write(start)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # what the directory says of the size: as much as it likes
    data[at : at + 4] = struct.pack("<I", len(start) + size)
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"claims 536,870,\d+ bytes from \d+ compressed ones$"):
        opened(path)


def test_an_array_given_twice_is_refused(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(path, described() + DATA, described() + DATA)
    with pytest.raises(BadInput, match=r"set.npz: holds 2 arrays `images`$"):
        opened(path)


def test_members_that_are_no_npy_are_none(path: Path) -> None:
    assert open_npz(archive(path, DATA, name="images"), ["images"]) == {}


def test_what_is_no_file_is_refused(tmp_path: Path, path: Path) -> None:
    os.mkfifo(path)
    for place in (path, tmp_path, Path("/dev/zero")):
        with pytest.raises(BadInput, match="is no file of data$"):
            open_npz(place, ["images"])
    with pytest.raises(BadInput, match="no such file$"):
        open_npz(tmp_path / "none.npz", ["images"])


def test_what_is_no_npz_is_refused(path: Path) -> None:
    np.save(path.with_suffix(".npy"), NUMBERS)
    with pytest.raises(BadInput, match=r"set.npy: a single array \(.npy\), and .npz is needed: numpy.savez"):
        open_npz(path.with_suffix(".npy"), ["images"])
    whole = archive(path, described() + DATA).read_bytes()
    for content in (b"", b"PK\x05\x06", whole[:200], whole[:-10], whole[20:], os.urandom(300)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"not an .npz file of arrays$|truncated or damaged"):
            opened(path)[:]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_file_is_one_line_wherever_it_is_damaged(path: Path, method: int, rng: np.random.Generator) -> None:
    whole = archive(path, described() + rng.bytes(len(DATA)), method=method).read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            for array in open_npz(path, ["images"]).values():
                assert array.whole().shape == array.shape
        except BadInput as error:
            assert "\n" not in str(error)
