"""Images as a network takes them: read from .npz, preprocessed, and refused where they cannot be meant."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np

from quant.base.errors import BadInput
from quant.ir.input_shape import own_shape
from quant.run.npz import StoredArray, open_npz

RAW = "shiftpoint.raw_pixels"
"""Metadata key of a network that takes pixels as they are, and does the preprocessing itself: its value is the
channels, mean and scale that were folded in, as JSON (`quant.rewrite.raw_pixels`)."""

SUSPICIOUS = 10.0
"""Floats this many times beyond what any pixel can give were not preprocessed for this network."""

LOOKED_AT = 16 << 20
"""Bytes of images that are looked at together."""


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
    if not isinstance(images, np.ndarray):
        raise BadInput(f"{what}: a numpy array is needed, not {type(images).__name__}")
    check_form(images.shape, images.dtype, network, what)
    arranged = _arranged(images, network)
    if images.dtype != np.uint8:
        check_values(arranged, network, what)
    return _as_taken(arranged, network)


def check_form(shape: tuple[int, ...], dtype: np.dtype, network: TakesImages, what: str) -> None:
    """Raise BadInput, as `prepare`, for what a shape and a type alone tell."""
    wanted = network.input_shape
    own = own_shape(network.metadata, wanted)
    last = own == (*wanted[1:], wanted[0]) != wanted
    taken = [wanted, own] if last else [own]
    allowed: set[tuple[int, ...]] = {wanted, own} if last else {wanted}
    if wanted[1:] == (1, 1):
        allowed.add(wanted[:1])
    if wanted[1] == 1:
        allowed.add((wanted[0], wanted[2]))
    if not shape or shape[1:] not in allowed:
        needed = " or ".join(f"(N, {', '.join(map(str, sizes))})" for sizes in taken)
        raise BadInput(f"{what}: shape {shape}, but {network.name} takes {needed}")
    if dtype not in (np.float32, np.uint8):
        raise BadInput(f"{what}: type {dtype}, but float32 or uint8 is needed")
    if not shape[0]:
        raise BadInput(f"{what}: none; at least one is needed")
    preprocess = Preprocess.of(network.metadata)
    if preprocess and len(preprocess.mean) != wanted[0]:
        raise BadInput(
            f"metadata preprocess.channels is {preprocess.channels!r}, but the network takes {wanted[0]} planes"
        )


def check_values(images: np.ndarray, network: TakesImages, what: str, first: int = 0) -> None:
    """Raise BadInput, as `prepare`, for what floats (n, C, H, W) hold.  first: the number of the first of them."""
    preprocess = Preprocess.of(network.metadata)
    for start in range(0, len(images), step := images_at_once(network)):
        part = images[start : start + step]
        finite = np.isfinite(part).all((1, 2, 3))
        if not finite.all():
            raise BadInput(f"{what}: image {first + start + int(np.argmin(finite))} holds NaN or infinity")
        if RAW in network.metadata and not ((part >= 0) & (part <= 255) & (part == np.rint(part))).all():
            raise BadInput(f"{what}: {network.name} takes raw pixels: give uint8, or whole numbers from 0 to 255")
        largest = float(max(-part.min(), part.max()))
        if preprocess and largest > SUSPICIOUS * preprocess.reach:
            raise BadInput(
                f"{what}: values up to {largest:.4g}, but preprocessed pixels of {network.name} reach "
                f"{preprocess.reach:.4g}: preprocess them, or give uint8 pixels"
            )


def images_at_once(network: TakesImages) -> int:
    """How many images are looked at together, so that it costs little memory."""
    return max(1, LOOKED_AT // (4 * int(np.prod(network.input_shape))))


def _arranged(images: np.ndarray, network: TakesImages) -> np.ndarray:
    """Images of a shape that `check_form` passed, as (N, C, H, W)."""
    shape = network.input_shape
    if images.shape[1:] == shape:
        return images
    if images.ndim == 4 and images.shape[1:] == own_shape(network.metadata, shape):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images.reshape(len(images), *shape)


def _as_taken(images: np.ndarray, network: TakesImages) -> np.ndarray:
    """Arranged images as float32."""
    if images.dtype != np.uint8:
        return images
    preprocess = Preprocess.of(network.metadata)
    return preprocess.apply(images) if preprocess else images.astype(np.float32)


class ImageSet:
    """Images that become what a network takes where they are indexed: until then they cost what their source costs.

    source: as `prepare` takes them, an array or one in a file.  Floats are looked at here, all of them, in parts.
    Raises BadInput as `prepare` does, and, where it is indexed, as `StoredArray`.
    """

    def __init__(
        self,
        source: np.ndarray | StoredArray,
        network: TakesImages,
        what: str = "images",
        limit: int | None = None,
    ) -> None:
        check_form(source.shape, source.dtype, network, what)
        self._source, self._network = source, network
        self._chosen = np.arange(len(source))[:limit]
        for start in range(0, len(self), step := images_at_once(network)):  # to the end: damage is told of here
            part = self.stored(slice(start, min(start + step, len(self))))
            if source.dtype != np.uint8:
                check_values(part, network, what, start)

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return len(self), *self._network.input_shape

    @overload
    def __getitem__(self, part: slice) -> np.ndarray: ...
    @overload
    def __getitem__(self, part: np.ndarray) -> ImageSet: ...
    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray | ImageSet:
        """Some images, float32 (n, C, H, W); or, by a mask or by numbers, a set of them that is not read yet."""
        if isinstance(part, slice):
            start, stop, step = part.indices(len(self))
            if step == 1:
                return _as_taken(self.stored(part), self._network)
            return self[np.arange(start, stop, step)][:]
        chosen = copy(self)
        chosen._chosen = self._chosen[part]
        return chosen

    @property
    def dtype(self) -> np.dtype:
        """Of the images as they are stored: float32 or uint8."""
        return self._source.dtype

    def stored(self, part: slice) -> np.ndarray:
        """Images as they are stored, (n, C, H, W), of a part without gaps."""
        numbers = self._chosen[part]
        if not len(numbers):
            return np.empty((0, *self._network.input_shape), self._source.dtype)
        if numbers[-1] - numbers[0] == len(numbers) - 1:
            return _arranged(self._source[int(numbers[0]) : int(numbers[-1]) + 1], self._network)
        return np.concatenate([_arranged(self._source[i : i + 1], self._network) for i in numbers.tolist()])


Images = np.ndarray | ImageSet
"""Images of which parts are taken: float32 (N, C, H, W), or what becomes that."""


def prepared(images: Images, network: TakesImages, what: str = "images") -> Images:
    """As `prepare`; a set of images is that already."""
    return images if isinstance(images, ImageSet) else prepare(images, network, what)


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
    are needed, None where they are wanted if the file has them.  limit: only the first images; others are not read.
    Returns images that are read where parts of them are taken, so that a set needs no memory; and int64 (N,) or None.
    Raises BadInput for a file that is missing, no .npz, or holds something else.
    """
    name = Path(path).name
    wanted = ("images",) if labels is False else ("images", "labels")
    arrays = open_npz(path, wanted)
    for key in wanted:
        if key not in arrays and not (key == "labels" and labels is None):
            raise BadInput(f"{path}: holds no array `{key}`")
    classes, count = arrays.get("labels"), arrays["images"].shape[:1]
    if classes is not None and (classes.shape != count or classes.dtype.kind not in "iu"):
        needed = f"integers {count}, one for each image, are needed"
        raise BadInput(f"{name}: labels are {classes.dtype} {classes.shape}, but {needed}")
    images = ImageSet(arrays["images"], network, name, limit)
    return images, None if classes is None else classes[: len(images)].astype(np.int64)
