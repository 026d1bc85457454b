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
from quant.ir.inputs import Given, Joint, by_input, own_shape, shape_key, together
from quant.run.npz import StoredArray, open_npz

RAW = "shiftpoint.raw_pixels"
"""Metadata key of a network that takes pixels as they are, and does the preprocessing itself: its value is the
channels, mean and scale that were folded in, as JSON (`quant.rewrite.raw_pixels`)."""

SUSPICIOUS = 10.0
"""Floats this many times beyond what any pixel can give were not preprocessed for this network."""

LOOKED_AT = 16 << 20
"""Bytes of images that are looked at together."""


class TakesImages(Protocol):
    """What has inputs for images: a float graph, an integer network, a program."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def input_shapes(self) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of one image, by input."""

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


@dataclass(frozen=True)
class _Input:
    """One input of a network.  what: how messages call its images."""

    network: TakesImages
    name: str
    what: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.network.input_shapes[self.name]

    @property
    def own(self) -> tuple[int, ...]:
        """The float file's shape."""
        return own_shape(self.network.metadata, self.shape, shape_key(self.name, list(self.network.input_shapes)))

    @property
    def at_once(self) -> int:
        """How many images are looked at together, so that it costs little memory."""
        return max(1, LOOKED_AT // (4 * int(np.prod(self.shape))))

    def check_form(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Raise BadInput, as `prepare`, for what a shape and a type alone tell."""
        wanted, own, what = self.shape, self.own, self.what
        last = own == (*wanted[1:], wanted[0]) != wanted
        taken = [wanted, own] if last else [own]
        allowed: set[tuple[int, ...]] = {wanted, own} if last else {wanted}
        if wanted[1:] == (1, 1):
            allowed.add(wanted[:1])
        if wanted[1] == 1:
            allowed.add((wanted[0], wanted[2]))
        if not shape or shape[1:] not in allowed:
            needed = " or ".join(f"(N, {', '.join(map(str, sizes))})" for sizes in taken)
            raise BadInput(f"{what}: shape {shape}, but {self.network.name} takes {needed}")
        if dtype not in (np.float32, np.uint8):
            raise BadInput(f"{what}: type {dtype}, but float32 or uint8 is needed")
        if not shape[0]:
            raise BadInput(f"{what}: none; at least one is needed")
        preprocess = Preprocess.of(self.network.metadata)
        if preprocess and len(preprocess.mean) != wanted[0] and (self._alone or dtype == np.uint8):
            raise BadInput(
                f"metadata preprocess.channels is {preprocess.channels!r}, but the network takes {wanted[0]} planes"
            )

    def check_values(self, images: np.ndarray, first: int = 0) -> None:
        """Raise BadInput, as `prepare`, for what floats (n, C, H, W) hold.  first: the number of the first of them."""
        what, network = self.what, self.network
        preprocess = Preprocess.of(network.metadata) if self._alone else None
        for start in range(0, len(images), step := self.at_once):
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

    @property
    def _alone(self) -> bool:
        """Whether the network has no other input: of several any may be no image, as floats show nothing of that."""
        return len(self.network.input_shapes) == 1

    def arranged(self, images: np.ndarray) -> np.ndarray:
        """Images of a shape that `check_form` passed, as (N, C, H, W)."""
        shape = self.shape
        if images.shape[1:] == shape:
            return images
        if images.ndim == 4 and images.shape[1:] == self.own:
            return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return images.reshape(len(images), *shape)

    def as_taken(self, images: np.ndarray) -> np.ndarray:
        """Arranged images as float32."""
        if images.dtype != np.uint8:
            return images
        preprocess = Preprocess.of(self.network.metadata)
        return preprocess.apply(images) if preprocess else images.astype(np.float32)

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """As `prepare`, of this input."""
        if not isinstance(images, np.ndarray):
            raise BadInput(f"{self.what}: a numpy array is needed, not {type(images).__name__}")
        self.check_form(images.shape, images.dtype)
        arranged = self.arranged(images)
        if images.dtype != np.uint8:
            self.check_values(arranged)
        return self.as_taken(arranged)


def _inputs(network: TakesImages, what: str) -> dict[str, _Input]:
    """The inputs of a network, by name; the images of several are called by it."""
    names = list(network.input_shapes)
    return {name: _Input(network, name, what if len(names) == 1 else f"{what}, input {name}") for name in names}


@overload
def prepare(images: np.ndarray, network: TakesImages, what: str = ...) -> np.ndarray: ...
@overload
def prepare(images: Joint[np.ndarray], network: TakesImages, what: str = ...) -> Given: ...
def prepare(images: Given, network: TakesImages, what: str = "images") -> Given:
    """Images as the network takes them: float32 (N, C, H, W), N >= 1; of several inputs each.

    images: float32 (N, C, H, W) ready for the network, returned as they are; or uint8 pixels, to which the
    network's preprocess.* metadata is applied (RGB planes; without metadata they are plain numbers 0 to 255).
    (N, C) stands for (N, C, 1, 1), and (N, C, W) for (N, C, 1, W); (N, H, W, C) is taken where the float file takes
    that.  what: how messages call the array.
    Raises BadInput, in one line, for another shape or type, for no images, NaN or infinity, for floats far beyond
    what any pixel can give (of a network with one input), and where one that takes raw pixels is given floats that are
    none.
    """
    inputs = _inputs(network, what)
    given = by_input(list(inputs), images)
    return together({name: inputs[name].prepare(array) for name, array in given.items()})


class ImageSet:
    """Images that become what a network takes where they are indexed: until then they cost what their source costs.

    source: as `prepare` takes them, an array or one in a file.  name: of the input, where the network has several.
    Floats are looked at here, all of them, in parts.
    Raises BadInput as `prepare` does, and, where it is indexed, as `StoredArray`.
    """

    def __init__(
        self,
        source: np.ndarray | StoredArray,
        network: TakesImages,
        what: str = "images",
        limit: int | None = None,
        name: str | None = None,
    ) -> None:
        inputs = _inputs(network, what)
        self._input = inputs[name or next(iter(inputs))]
        self._input.check_form(source.shape, source.dtype)
        self._source = source
        self._chosen = np.arange(len(source))[:limit]
        for start in range(0, len(self), step := self._input.at_once):  # to the end: damage is told of here
            part = self.stored(slice(start, min(start + step, len(self))))
            if source.dtype != np.uint8:
                self._input.check_values(part, start)

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return len(self), *self._input.shape

    @overload
    def __getitem__(self, part: slice) -> np.ndarray: ...
    @overload
    def __getitem__(self, part: np.ndarray) -> ImageSet: ...
    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray | ImageSet:
        """Some images, float32 (n, C, H, W); or, by a mask or by numbers, a set of them that is not read yet."""
        if isinstance(part, slice):
            start, stop, step = part.indices(len(self))
            if step == 1:
                return self._input.as_taken(self.stored(part))
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
            return np.empty((0, *self._input.shape), self._source.dtype)
        if numbers[-1] - numbers[0] == len(numbers) - 1:
            return self._input.arranged(self._source[int(numbers[0]) : int(numbers[-1]) + 1])
        return np.concatenate([self._input.arranged(self._source[i : i + 1]) for i in numbers.tolist()])


InputImages = np.ndarray | ImageSet
"""Images of one input, of which parts are taken: float32 (N, C, H, W), or what becomes that."""

Images = InputImages | Joint[InputImages]
"""Images of a network: of its one input, or of each of several."""


def prepared(images: Images, network: TakesImages, what: str = "images") -> Images:
    """As `prepare`; a set of images is that already."""
    inputs = _inputs(network, what)
    given = by_input(list(inputs), images)
    return together(
        {name: part if isinstance(part, ImageSet) else inputs[name].prepare(part) for name, part in given.items()}
    )


def floats(network: TakesImages, images: Images) -> dict[str, np.ndarray]:
    """Images as a session takes them, all in memory: float32 (N, C, H, W), by input."""
    given = by_input(list(network.input_shapes), images)
    return {name: np.ascontiguousarray(part[:], np.float32) for name, part in given.items()}


def load_images(
    path: str | os.PathLike[str],
    network: TakesImages,
    labels: bool | None = False,
    limit: int | None = None,
) -> tuple[Given, np.ndarray | None]:
    """The images of an .npz file, and where wanted their labels: float32 (N, C, H, W), and int64 (N,) or None.

    Otherwise as `open_images`.
    """
    images, classes = open_images(path, network, labels, limit)
    return images[:], classes


def arrays_of(network: TakesImages) -> dict[str, str]:
    """The name that the images of each input have in .npz files: of a single input `images`, else the input's."""
    names = list(network.input_shapes)
    return {name: name for name in names} if len(names) > 1 else {names[0]: "images"}


def open_images(
    path: str | os.PathLike[str],
    network: TakesImages,
    labels: bool | None = False,
    limit: int | None = None,
) -> tuple[Images, np.ndarray | None]:
    """The images of an .npz file, and where wanted their labels.

    The file holds `images` as `prepare` takes them, of several inputs an array each under the input's name, and
    `labels`, integers (N,).  labels: True where they
    are needed, None where they are wanted if the file has them.  limit: only the first images; others are not read.
    Returns images that are read where parts of them are taken, so that a set needs no memory; and int64 (N,) or None.
    Raises BadInput for a file that is missing, no .npz, or holds something else.
    """
    name, keys = Path(path).name, arrays_of(network)
    wanted = (*keys.values(), *(() if labels is False else ("labels",)))
    arrays = open_npz(path, wanted)
    for key in wanted:
        if key not in arrays and not (key == "labels" and labels is None):
            raise BadInput(f"{path}: holds no array `{key}`")
    classes, count = arrays.get("labels"), arrays[wanted[0]].shape[:1]
    if classes is not None and (classes.shape != count or classes.dtype.kind not in "iu"):
        needed = f"integers {count}, one for each image, are needed"
        raise BadInput(f"{name}: labels are {classes.dtype} {classes.shape}, but {needed}")
    images: Images = together({own: ImageSet(arrays[key], network, name, limit, own) for own, key in keys.items()})
    return images, None if classes is None else classes[: len(images)].astype(np.int64)
