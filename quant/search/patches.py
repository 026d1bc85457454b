"""Sampled positions of a convolution: what its weights meet there, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.ir.window import Window
from quant.run.stacks import Maps

POSITIONS = 20_000
"""Output positions sampled of each layer, over all images: a mean over them is known to 1/141 of a deviation."""

MEANS = 5_000
"""The same of a layer whose weights are not rounded against its output: the positions serve means and formats."""

ELEMENTS = 24 << 20
"""Most values that the inputs at the sampled positions may hold, so that memory does not grow with the layer."""

JUDGED = 2 << 20
"""Values of a layer's result by which its format is judged, at most."""

LEAST = 1_000
"""Positions sampled however many values each has."""

TAKEN = 64 << 20
"""Bytes of a tensor that are looked at together, where it is in a file."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Output positions of one layer, over all images.  image, row, column: int64 (R,); total: how many there are."""

    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    total: int

    @staticmethod
    def of(result: Maps, terms: int, most: int = POSITIONS) -> Positions:
        """All positions of a layer's result (N, C, H, W), or a sample that is the same in every run.

        terms: input values that a position has, over all groups.  most: positions at most.
        """
        height, width = result.shape[2:]
        total = len(result) * height * width
        count = min(total, most, max(ELEMENTS // terms, LEAST))
        chosen = np.arange(total)
        if count < total:
            chosen = np.sort(np.random.default_rng((total, terms)).choice(total, count, replace=False))
        image, place = np.divmod(chosen, height * width)
        return Positions(image, *np.divmod(place, width), total)

    def parts(self, tensor: Maps) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """A tensor (N, C, H, W) a few images at a time: which positions lie in them, they, and the image of each."""
        step = max(1, TAKEN // (4 * int(np.prod(tensor.shape[1:]))))
        for start in range(0, len(tensor), step):
            first, last = np.searchsorted(self.image, [start, start + step])
            if first < last:
                yield slice(first, last), tensor[start : start + step], self.image[first:last] - start

    def take(self, tensor: Maps) -> np.ndarray:
        """The values of all channels at these positions: (N, C, H, W) to (R, C)."""
        taken = [values[image, :, self.row[rows], self.column[rows]] for rows, values, image in self.parts(tensor)]
        return taken[0] if len(taken) == 1 else np.concatenate(taken)

    def patches(self, tensor: Maps, window: Window, groups: int) -> np.ndarray:
        """The inputs that each position's sums run over, zero in the padding.

        tensor: (N, I, H, W).  Returns float32 (groups, R, I / groups * KH * KW), in the order of the weights.
        """
        channels, height, width = tensor.shape[1:]
        kh, kw = window.kernel
        top, left = window.pads[:2]
        found = np.empty((len(self.image), channels, kh * kw), np.float32)
        for rows, part, image in self.parts(tensor):
            for ky in range(kh):
                for kx in range(kw):
                    y = self.row[rows] * window.stride[0] + ky * window.dilation[0] - top
                    x = self.column[rows] * window.stride[1] + kx * window.dilation[1] - left
                    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                    values = part[image, :, y.clip(0, height - 1), x.clip(0, width - 1)]
                    found[rows, :, ky * kw + kx] = np.where(inside[:, None], values, 0)
        grouped = found.reshape(len(found), groups, channels // groups * kh * kw)
        return np.ascontiguousarray(grouped.swapaxes(0, 1))
