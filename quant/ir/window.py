"""Sliding windows of convolutions and pools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Window:
    """A sliding window.  Each pair is (vertical, horizontal); pads are (top, left, bottom, right)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns from the kernel's first element to its last."""
        return ((self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1)

    def __str__(self) -> str:
        """Its kernel, and its stride where that is not 1: 3x3/2."""
        down, across = self.stride
        step = "" if self.stride == (1, 1) else f"/{down}" if down == across else f"/{down}x{across}"
        return f"{self.kernel[0]}x{self.kernel[1]}{step}"

    def padded(self, pads: tuple[int, int, int, int]) -> Window:
        """The window over a map with so much more padding."""
        top, left, bottom, right = (own + more for own, more in zip(self.pads, pads, strict=True))
        return replace(self, pads=(top, left, bottom, right))

    def cropped(self, first: tuple[int, int], count: tuple[int, int], size: tuple[int, int]) -> Window | None:
        """The window of which the whole result over a map of `size` is `count` of this one's, from `first` on.

        None where that needs less than no padding.
        """
        before, after = [], []
        for axis in range(2):
            step = self.stride[axis]
            start = self.pads[axis] - first[axis] * step
            reach = (count[axis] - 1) * step + self.span[axis]
            missing = reach - start - size[axis]  # below zero: so much of the map is behind the last window
            if start < 0 or missing <= -step:
                return None
            before.append(start)
            after.append(max(missing, 0))
        return replace(self, pads=(before[0], before[1], after[0], after[1]))

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of an ONNX Conv or pool; dilations only where there are any."""
        values = {"kernel_shape": list(self.kernel), "strides": list(self.stride), "pads": list(self.pads)}
        return values | ({"dilations": list(self.dilation)} if self.dilation != (1, 1) else {})

    def counts(self, height: int, width: int, include_pad: bool) -> np.ndarray:
        """How many elements each window over a map holds, int64 (OH, OW): of the kernel, or inside the map."""
        sizes, per_axis = self.output_size(height, width), []
        for axis, size in enumerate((height, width)):
            first = np.arange(sizes[axis]) * self.stride[axis] - self.pads[axis]
            places = first[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
            per_axis.append((include_pad | ((places >= 0) & (places < size))).sum(1))
        return np.outer(*per_axis)

    def check(self) -> None:
        """Raises ValueError, with the reason, for a window that is none."""
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.pads) < 0:
            raise ValueError(f"no window: {self}")

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the result.  ceil_mode does not occur: the importer turns it into padding."""
        top, left, bottom, right = self.pads
        return (
            (height + top + bottom - self.span[0]) // self.stride[0] + 1,
            (width + left + right - self.span[1]) // self.stride[1] + 1,
        )
