"""Averages over more than an engine holds at once, as averages of averages.

A mean of means of equally many elements is the mean; each of them is rounded once, into a format of its own, so that
what the first rounds off is averaged, too.  A map of which no part divides the length is padded with zeros to one of
which one does, and what that divides too much is a factor behind.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

from quant.ir.window import Window

ELEMENTS, SIDE = 1024, 127
"""Elements, and rows or columns, up to which a window stays whole: every preset's pool buffer holds them."""

PART = 15
"""Rows or columns of a part at most: the engine's poolings make no longer steps."""


def stages(window: Window, shape: tuple[int, int]) -> tuple[list[Window], float]:
    """Windows whose averages, one over the results of the other, give the average of a window over a map (H, W), and
    the factor that is left then, 1 where nothing was padded.

    The window alone where it is small, or where its results overlap otherwise than in whole parts.
    """
    rest, found, factor = window, list[Window](), 1.0
    while _large(rest):
        split = [_split(rest, axis, shape[axis]) for axis in (0, 1)]
        if None in split or all(part == 1 for part, _ in filter(None, split)):
            return [window], 1.0
        (down, rows), (across, columns) = (some or (1, 0) for some in split)
        taps = rest.kernel
        pads = (0, 0, rows - taps[0], columns - taps[1])
        factor *= rows * columns / (taps[0] * taps[1])
        found.append(Window((down, across), (down, across), pads))
        shape = (shape[0] + pads[2]) // down, (shape[1] + pads[3]) // across
        stride = tuple(max(step // part, 1) for step, part in zip(rest.stride, (down, across), strict=True))
        rest = replace(rest, kernel=(rows // down, columns // across), stride=(stride[0], stride[1]))
    return [*found, rest], factor


def _large(window: Window) -> bool:
    rows, columns = window.kernel
    return max(rows, columns) > SIDE or rows * columns > ELEMENTS


def _split(window: Window, axis: int, size: int) -> tuple[int, int] | None:
    """Of a window's taps along an axis: into parts of how many, and how many taps there are then, padding among them.

    Parts of 1 where there are few taps.  None where there is no such division.
    """
    taps, step = window.kernel[axis], window.stride[axis]
    if taps <= isqrt(ELEMENTS):
        return 1, taps
    if window.pads != (0, 0, 0, 0) or window.dilation != (1, 1):
        return None
    if taps == size:
        while (part := _part(taps, taps)) is None:
            taps += 1
        return part, taps
    part = _part(taps, step)
    return None if part is None else (part, taps)


def _part(taps: int, step: int) -> int | None:
    """The divisor of both, nearest to the root of the taps, of those that are neither tiny nor more than PART."""
    root = isqrt(taps)
    fitting = [part for part in range(min(root // 2, PART // 2), PART + 1) if taps % part == step % part == 0]
    return min(fitting, key=lambda part: abs(part - root), default=None)
