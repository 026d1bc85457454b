"""Files of images that lie: archives, headers, shapes, types and values with a slip."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np

from tests.fuzz.altering import REAL, altered, pick
from tests.fuzz.harness import Step, command
from tests.host.onnx_networks import small_cnn

DTYPES = ("float32", "float64", "float16", ">f4", "uint8", "int8", "int64", "bool", "complex64", "U3", "S4", "O", "V8")
SHAPES = (
    (6, 2, 8, 8),
    (6, 8, 8, 2),
    (2, 8, 8),
    (0, 2, 8, 8),
    (6, 2, 8),
    (6,),
    (),
    (1, 1, 1, 1, 1),
    (6, 2, 0, 8),
    (6, 3, 8, 8),
)
HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 2, 8, 8), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4, 8, 8), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-6, 2, 8, 8), }",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (6, 2, 8, 8), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2, 8, True), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 2, 8, 8), }",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6, 2, 8, 8), }",
    "{'descr': '<f4', 'shape': (6, 2, 8, 8), }",
    "[" * 500,
    "",
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def array(rng: np.random.Generator) -> np.ndarray:
    """Images, as they are needed or not."""
    shape = pick(rng, SHAPES) if rng.integers(3) == 0 else SHAPES[0]
    values = rng.normal(0, 1, shape) * pick(rng, (1, 1, 1, 1e-30, 1e10, 1e38, 0))
    if rng.integers(5) == 0 and values.size:
        np.put(values, rng.integers(values.size), pick(rng, REAL))
    with np.errstate(all="ignore"):
        return values.astype(pick(rng, DTYPES) if rng.integers(3) == 0 else np.float32)


def member(rng: np.random.Generator) -> bytes:
    """An array as .npy, its header or its bytes with a slip now and then."""
    file = io.BytesIO()
    np.save(file, array(rng), allow_pickle=True)
    data = file.getvalue()
    match rng.integers(5):
        case 0:
            text = pick(rng, HEADERS).encode() + b"\n"
            version = pick(rng, (b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
            data = (
                b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text + data[128:]
            )
        case 1:
            data = altered(data, rng)
    return data


def archive(rng: np.random.Generator) -> bytes:
    """An .npz file, perhaps damaged."""
    file = io.BytesIO()
    names = ["images.npy"]
    if rng.integers(4) == 0:
        names = pick(
            rng, (["images"], ["images.npy", "images.npy"], ["labels.npy"], [], ["Images.npy"], ["a/images.npy"])
        )
    if rng.integers(4) == 0:
        names = [*names, "labels.npy"]
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", pick(rng, METHODS)) as made:
        warnings.simplefilter("ignore")  # of a name twice
        for name in names:
            data = member(rng)
            if name == "labels.npy":
                labels = io.BytesIO()
                np.save(labels, rng.integers(-2, 9, 6).astype(pick(rng, ("int64", "uint8", "float32", "U2"))))
                data = labels.getvalue()
            made.writestr(name, data)
    data = bytearray(file.getvalue())
    match rng.integers(5):
        case 0:
            return altered(bytes(data), rng)
        case 1:  # a flag or the method of the first member, in both of its headers: encrypted, or unknown
            offset, value = pick(rng, ((0, 1), (0, 0x41), (2, 9), (2, 99), (2, 8)))
            for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
                if (start := data.find(signature)) >= 0:
                    data[start + at + offset] = value
    return bytes(data)


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A file of images, as calibration, to compare, and to simulate."""
    small_cnn(folder / "net.onnx")
    np.savez(folder / "good.npz", images=rng.normal(0, 1, SHAPES[0]).astype(np.float32))
    bad = folder / pick(rng, ("bad.npz", "bad.npz", "bad.npz", "bad.npy", "bad"))
    match rng.integers(12):
        case 0:
            os.mkfifo(bad)
        case 1:
            bad.mkdir()
        case 2:
            bad.symlink_to(bad.name)
        case 3:
            bad.write_bytes(member(rng))
        case _:
            bad.write_bytes(archive(rng))
    return [
        command("quantize", "net.onnx", "--calibration", bad.name, "-o", "q.onnx"),
        command("quantize", "net.onnx", "--calibration", "good.npz", "-o", "good.onnx", "--effort", "fast"),
        command("compile", "good.onnx", "--config", "tiny", "-o", "p.program"),
        command("compare", "net.onnx", "good.onnx", "--images", bad.name),
        command("simulate", "p.program", "--images", bad.name, "--count", pick(rng, (1, 2, 99))),
    ]
