"""Images as a network takes them: read from .npz, preprocessed, and refused where they cannot be meant."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from quant.base.errors import BadInput
from quant.ir.input_shape import own_shape

RAW = "shiftpoint.raw_pixels"
"""Metadata key of a network that takes pixels as they are, and does the preprocessing itself: its value is the
channels, mean and scale that were folded in, as JSON (`quant.rewrite.raw_pixels`)."""

SUSPICIOUS = 10.0
"""Floats this many times beyond what any pixel can give were not preprocessed for this network."""


class TakesImages(Protocol):
    """What has an input for images: a float graph, an integer network, a program."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """metadata_props, preprocess.* among them."""


@dataclass(frozen=True)
class Preprocess:
    """How a network wants pixels: x = (pixel - mean) * scale, planes in the order of `channels`.

    channels: RGB, BGR or gray.  mean, scale: one number per plane in that order, pixels being 0 to 255.
    """

    channels: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @staticmethod
    def of(metadata: Mapping[str, str]) -> Preprocess | None:
        """What a network's metadata says under preprocess.*; None where it says nothing.

        Raises BadInput for metadata that cannot be read.
        """
        channels = metadata.get("preprocess.channels")
        if channels is None:
            return None
        planes = {"RGB": 3, "BGR": 3, "gray": 1}.get(channels)
        if planes is None:
            raise BadInput(f"metadata preprocess.channels is {channels!r}; RGB, BGR or gray is known")
        return Preprocess(channels, _numbers(metadata, "mean", planes, 0.0), _numbers(metadata, "scale", planes, 1.0))

    @staticmethod
    def folded(metadata: Mapping[str, str]) -> Preprocess | None:
        """What was folded into a network that takes raw pixels; None for any other network.

        Raises BadInput for metadata that cannot be read.
        """
        if RAW not in metadata:
            return None
        try:
            value = json.loads(metadata[RAW])
            return Preprocess(
                str(value["channels"]), tuple(map(float, value["mean"])), tuple(map(float, value["scale"]))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"metadata {RAW} is {metadata[RAW]!r}; JSON of channels, mean and scale is needed"
            ) from error

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels 0 to 255, (N, 3, H, W) in RGB or (N, 1, H, W) in gray, to float32 of the same shape."""
        if self.channels == "BGR":
            pixels = pixels[:, ::-1]
        mean, scale = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.scale))
        return np.ascontiguousarray((pixels.astype(np.float32) - mean) * scale)

    @property
    def reach(self) -> float:
        """The largest magnitude that a pixel can give."""
        ends = ((pixel - m) * s for pixel in (0.0, 255.0) for m, s in zip(self.mean, self.scale, strict=True))
        return max(map(abs, ends))


def _numbers(metadata: Mapping[str, str], key: str, planes: int, default: float) -> tuple[float, ...]:
    """The numbers of preprocess.<key>, one per plane; one number alone counts for all."""
    text = metadata.get(f"preprocess.{key}")
    if text is None:
        return (default,) * planes
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) == 1:
        numbers *= planes
    if len(numbers) != planes or not np.isfinite(numbers).all():
        raise BadInput(f"metadata preprocess.{key} is {text!r}; {planes} numbers are needed")
    return numbers


def prepare(images: np.ndarray, network: TakesImages, what: str = "images") -> np.ndarray:
    """Images as the network takes them: float32 (N, C, H, W), N >= 1.

    images: float32 (N, C, H, W) ready for the network, returned as they are; or uint8 pixels, to which the
    network's preprocess.* metadata is applied (RGB planes; without metadata they are plain numbers 0 to 255).
    (N, C) stands for (N, C, 1, 1), and (N, C, W) for (N, C, 1, W); (N, H, W, C) is taken where the float file takes
    that.  what: how messages call the array.
    Raises BadInput, in one line, for another shape or type, for no images, NaN or infinity, for floats far beyond
    what any pixel can give, and where a network that takes raw pixels is given floats that are none.
    """
    shape = network.input_shape
    own = own_shape(network.metadata, shape)
    last = own == (*shape[1:], shape[0]) != shape
    if not isinstance(images, np.ndarray):
        raise BadInput(f"{what}: a numpy array is needed, not {type(images).__name__}")
    if shape[1:] == (1, 1) and images.shape[1:] == shape[:1]:
        images = images[:, :, None, None]
    if shape[1] == 1 and images.ndim == 3 and images.shape[1:] == (shape[0], shape[2]):
        images = images[:, :, None, :]
    if last and images.ndim == 4 and images.shape[1:] == own:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if images.ndim != 4 or images.shape[1:] != shape:
        taken = [shape, own] if last else [own]
        needed = " or ".join(f"(N, {', '.join(map(str, sizes))})" for sizes in taken)
        raise BadInput(f"{what}: shape {images.shape}, but {network.name} takes {needed}")
    if images.dtype not in (np.float32, np.uint8):
        raise BadInput(f"{what}: type {images.dtype}, but float32 or uint8 is needed")
    if not len(images):
        raise BadInput(f"{what}: none; at least one is needed")
    preprocess = Preprocess.of(network.metadata)
    if preprocess and len(preprocess.mean) != shape[0]:
        raise BadInput(
            f"metadata preprocess.channels is {preprocess.channels!r}, but the network takes {shape[0]} planes"
        )
    if images.dtype == np.uint8:
        return preprocess.apply(images) if preprocess else images.astype(np.float32)
    if not np.isfinite(images).all():
        first = int(np.argmin(np.isfinite(images).all((1, 2, 3))))
        raise BadInput(f"{what}: image {first} holds NaN or infinity")
    if RAW in network.metadata and not ((images >= 0) & (images <= 255) & (images == np.rint(images))).all():
        raise BadInput(f"{what}: {network.name} takes raw pixels: give uint8, or whole numbers from 0 to 255")
    largest = float(np.abs(images).max())
    if preprocess and largest > SUSPICIOUS * preprocess.reach:
        raise BadInput(
            f"{what}: values up to {largest:.4g}, but preprocessed pixels of {network.name} reach "
            f"{preprocess.reach:.4g}: preprocess them, or give uint8 pixels"
        )
    return images


class PixelImages:
    """Pixels that become what a network takes where they are indexed: a quarter of the memory until then.

    pixels: uint8, as `prepare` takes them.  Raises BadInput as that does.
    """

    def __init__(self, pixels: np.ndarray, network: TakesImages, what: str = "images") -> None:
        prepare(pixels[:1], network, what)
        self._pixels, self._network, self._what = pixels, network, what

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, part: slice) -> np.ndarray:
        """float32 (n, C, H, W)."""
        chosen = self._pixels[part]
        if not len(chosen):
            return np.empty((0, *self._network.input_shape), np.float32)
        return prepare(chosen, self._network, self._what)


Images = np.ndarray | PixelImages
"""Images of which parts are taken: float32 (N, C, H, W), or pixels that become it."""


def load_images(
    path: str | os.PathLike[str],
    network: TakesImages,
    labels: bool | None = False,
    limit: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The images of an .npz file, and where wanted their labels: float32 (N, C, H, W), and int64 (N,) or None.

    Otherwise as `open_images`.
    """
    images, classes = open_images(path, network, labels, limit)
    return images[:], classes


def open_images(
    path: str | os.PathLike[str],
    network: TakesImages,
    labels: bool | None = False,
    limit: int | None = None,
) -> tuple[Images, np.ndarray | None]:
    """The images of an .npz file, and where wanted their labels.

    The file holds `images` as `prepare` takes them, and `labels`, integers (N,).  labels: True where they
    are needed, None where they are wanted if the file has them.  limit: only the first images.
    Returns images of which parts are taken, so that a whole set of pixels needs no more than its bytes; and int64 (N,)
    or None.
    Raises BadInput for a file that is missing, no .npz, or holds something else.
    """
    name = Path(path).name
    wanted = ("images",) if labels is False else ("images", "labels")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key in wanted}
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: not an .npz file of arrays") from error
    for key in wanted:
        if key not in arrays and not (key == "labels" and labels is None):
            raise BadInput(f"{path}: holds no array `{key}`")
    classes = arrays.get("labels")
    count = arrays["images"].shape[:1]
    if classes is not None and (classes.shape != count or classes.dtype.kind not in "iu"):
        needed = f"integers {count}, one for each image, are needed"
        raise BadInput(f"{name}: labels are {classes.dtype} {classes.shape}, but {needed}")
    found = arrays["images"][:limit] if count else arrays["images"]
    images = PixelImages(found, network, name) if count and found.dtype == np.uint8 else prepare(found, network, name)
    return images, None if classes is None else classes[:limit].astype(np.int64)
