"""Sums, maxima and averages over sliding windows, exact in the number type that the caller chooses.

Arrays stand as (C, N, H, W): a convolution is then one matrix product for the whole batch, and its result
has the same layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from quant.ir.fixedpoint import average
from quant.ir.layer import Layer
from quant.ir.tensor import Tensor
from quant.ir.window import Window

COLUMN_BYTES = 16 << 20
"""Largest unfolded input (im2col) held at a time, so that memory does not grow with the feature map."""

BATCH_BYTES = 32 << 20
"""Images are taken in batches with which a layer needs about this much memory to work in."""

CACHE_BYTES = 1 << 19
"""Largest block of a depthwise convolution's results: each is read and written once for each kernel element."""


def images_at_once(tensors: Mapping[str, Tensor], layer: Layer) -> int:
    """How many images a layer takes at a time: its tensors at 8 bytes an element fill BATCH_BYTES."""
    sizes = [int(np.prod(tensors[name].shape)) for name in (*layer.inputs, layer.output)]
    return max(1, BATCH_BYTES // (8 * sum(sizes)))


def pad(x: np.ndarray, pads: tuple[int, int, int, int], dtype: np.dtype, fill: int = 0) -> np.ndarray:
    """x (C, N, H, W) with a border, in `dtype`.  pads: (top, left, bottom, right)."""
    if not any(pads):
        return x.astype(dtype, copy=False)
    top, left, bottom, right = pads
    channels, images, height, width = x.shape
    padded = np.full((channels, images, height + top + bottom, width + left + right), fill, dtype)
    padded[:, :, top : top + height, left : left + width] = x
    return padded


def _taps(padded: np.ndarray, window: Window, rows: slice, width: int) -> Iterator[np.ndarray]:
    """For each kernel element, the elements that it meets: views (C, N, rows, width).  Kernel columns run fastest."""
    for ky in range(window.kernel[0]):
        first = ky * window.dilation[0] + rows.start * window.stride[0]
        last = first + (rows.stop - rows.start - 1) * window.stride[0] + 1
        for kx in range(window.kernel[1]):
            left = kx * window.dilation[1]
            right = left + (width - 1) * window.stride[1] + 1
            yield padded[:, :, first : last : window.stride[0], left : right : window.stride[1]]


def convolve(x: np.ndarray, weight: np.ndarray, window: Window, groups: int, dtype: np.dtype) -> np.ndarray:
    """The sums of weight * input of a convolution, computed in `dtype`: the caller proves that they are exact in it.

    x: (I, N, H, W) of any number type; weight: (O, I / groups, KH, KW).  Returns `dtype` (O, N, OH, OW).
    """
    outputs, inputs = weight.shape[:2]
    weight = weight.astype(dtype, copy=False)
    padded = pad(x, window.pads, dtype)
    height, width = window.output_size(*x.shape[2:])
    out = np.empty((outputs, x.shape[1], height, width), dtype)
    row_bytes = x.shape[1] * width * out.itemsize
    if inputs == 1:
        step = max(1, CACHE_BYTES // (outputs * row_bytes))
    else:
        step = max(1, COLUMN_BYTES // (x.shape[0] * window.kernel[0] * window.kernel[1] * row_bytes))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        if inputs == 1:
            _depthwise(padded, weight, window, groups, rows, out)
        else:
            _matrix(padded, weight, window, groups, rows, out)
    return out


def _matrix(padded: np.ndarray, weight: np.ndarray, window: Window, groups: int, rows: slice, out: np.ndarray) -> None:
    """Some rows of a convolution, as one matrix product a group over the unfolded input."""
    outputs, inputs, kh, kw = weight.shape
    images, width = out.shape[1], out.shape[3]
    height = rows.stop - rows.start
    if kh == kw == 1 and window.stride == (1, 1):
        columns = padded[:, :, rows]
    else:
        columns = np.empty((groups, kh * kw, inputs, images, height, width), out.dtype)
        for index, tap in enumerate(_taps(padded, window, rows, width)):
            columns[:, index] = tap.reshape(groups, inputs, images, height, width)
    matrix = weight.reshape(groups, outputs // groups, inputs, kh * kw).swapaxes(2, 3)
    product = np.matmul(matrix.reshape(groups, outputs // groups, -1), columns.reshape(groups, inputs * kh * kw, -1))
    out[:, :, rows] = product.reshape(outputs, images, height, width)


def _depthwise(
    padded: np.ndarray, weight: np.ndarray, window: Window, groups: int, rows: slice, out: np.ndarray
) -> None:
    """Some rows of a convolution with one input channel a group: multiplied and added tap by tap."""
    outputs = weight.shape[0]
    shape = (groups, 1, out.shape[1], rows.stop - rows.start, out.shape[3])
    factors = weight.reshape(groups, outputs // groups, -1)[..., None, None, None]
    total = np.zeros((groups, outputs // groups, *shape[2:]), out.dtype)
    product = np.empty_like(total)
    for index, tap in enumerate(_taps(padded, window, rows, out.shape[3])):
        np.multiply(factors[:, :, index], tap.reshape(shape), out=product)
        total += product
    out[:, :, rows] = total.reshape(outputs, *shape[2:])


def _fold(padded: np.ndarray, window: Window, combine: Callable[..., np.ndarray]) -> np.ndarray:
    """Combine the elements of each window, first down the kernel's rows, then along its columns."""
    height, width = window.output_size(
        padded.shape[2] - sum(window.pads[0::2]), padded.shape[3] - sum(window.pads[1::2])
    )
    result = padded
    for axis, size in ((2, height), (3, width)):
        stride, dilation = window.stride[axis - 2], window.dilation[axis - 2]
        index: list[slice] = [slice(None)] * 4
        parts = []
        for k in range(window.kernel[axis - 2]):
            index[axis] = slice(k * dilation, k * dilation + (size - 1) * stride + 1, stride)
            parts.append(result[tuple(index)])
        result = parts[0].copy()
        for part in parts[1:]:
            combine(result, part, out=result)
    return result


def maxima(x: np.ndarray, window: Window) -> np.ndarray:
    """The maximum of each window: integers (C, N, H, W) in, the same type (C, N, OH, OW) out.  Padding never wins."""
    return _fold(pad(x, window.pads, x.dtype, int(np.iinfo(x.dtype).min)), window, np.maximum)


def averages(x: np.ndarray, window: Window, shift: int, count_include_pad: bool) -> np.ndarray:
    """Each window's sum * 2**-shift / count, rounded half to even: integers (C, N, H, W) in, int64 (C, N, OH, OW) out.

    count: the number of kernel elements, or without count_include_pad of those inside the input.
    """
    total = _fold(pad(x, window.pads, np.dtype(np.int64)), window, np.add)
    if count_include_pad or not any(window.pads):
        return average(total, window.kernel[0] * window.kernel[1], shift)
    inside = pad(np.ones((1, 1, *x.shape[2:]), np.int64), window.pads, np.dtype(np.int64))
    counts = _fold(inside, window, np.add)
    result = np.empty_like(total)
    for count in np.unique(counts):
        where = np.broadcast_to(counts == count, total.shape)
        result[where] = average(total[where], int(count), shift)
    return result
