"""From images to the integers that a program's inputs take: on a board as in the simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.contract.program import Program
from quant.ir.fixedpoint import QFormat, quantize
from quant.ir.inputs import Given, by_input, together
from quant.ir.scales import input_scales, scaled
from quant.run.images import Preprocess, prepare

PIXELS = 256
"""A pixel is 0 to 255."""


@dataclass(frozen=True, eq=False)
class PixelTable:
    """What pixels become.  elements: (C, 256), of the smallest type of the input's format; planes: from which plane of
    the pixels (RGB or gray) each channel comes."""

    elements: np.ndarray
    planes: tuple[int, ...]

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, C, H, W) to integers of the same shape."""
        channels = [np.take(row, pixels[:, plane]) for row, plane in zip(self.elements, self.planes, strict=True)]
        return np.stack(channels, axis=1)


def input_format(program: Program, name: str) -> QFormat:
    """The format of an input's integers."""
    return next(placement.fmt for placement in program.inputs if placement.tensor == name)


def pixel_table(program: Program, name: str) -> PixelTable | None:
    """What becomes of pixels in an input; None where the program's metadata speak of another number of planes.

    Every operation from pixel to integer is one of single elements, so a table of all pixels says the same.
    Raises BadInput for metadata that cannot be read.
    """
    channels, preprocess = program.input_shapes[name][0], Preprocess.of(program.metadata)
    if preprocess is not None and len(preprocess.mean) != channels:
        return None
    every = np.broadcast_to(np.arange(PIXELS, dtype=np.uint8), (1, channels, 1, PIXELS))
    taken = every.astype(np.float32) if preprocess is None else preprocess.apply(every)
    planes = tuple(range(channels))
    turned = preprocess is not None and preprocess.channels == "BGR"
    return PixelTable(_integers(program, name, taken)[0, :, 0], planes[::-1] if turned else planes)


def integers(program: Program, images: Given, what: str = "images") -> Given:
    """Images to the integers of a program's inputs, (N, C, H, W) of the smallest type of each input's format.

    images: as `quant.run.images.prepare` takes them, pixels or floats; what: how messages call them.
    Raises BadInput as that does.
    """
    given = by_input(list(program.input_shapes), images)
    tables = {name: _table(program, name, array) for name, array in given.items()}
    pixels = {name: table.apply(given[name]) for name, table in tables.items() if table is not None}
    if len(pixels) == len(given):
        return together(pixels)
    ready = by_input(list(program.input_shapes), prepare(images, program, what))
    return together({name: _integers(program, name, array) for name, array in ready.items()})


def _table(program: Program, name: str, images: np.ndarray) -> PixelTable | None:
    """The table that makes an input's integers of these images; None where they are no pixels in its own shape."""
    fits = images.dtype == np.uint8 and images.shape[1:] == program.input_shapes[name] and len(images) > 0
    return pixel_table(program, name) if fits else None


def _integers(program: Program, name: str, images: np.ndarray) -> np.ndarray:
    """Images as the float network takes them, float32 (N, C, H, W), to an input's integers."""
    scales, fmt = input_scales(program.metadata, name, program.input_shapes[name][0]), input_format(program, name)
    return quantize(scaled(images, scales), fmt).astype(fmt.dtype)
