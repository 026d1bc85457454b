"""A convolution as the reference runs it: integers at the speed of float, where that is exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from quant.ir.fixedpoint import FLOAT32_EXACT, FLOAT64_EXACT, requantize
from quant.ir.tensor import Bound, Tensor
from quant.kinds.conv.form import ConvForm, float_scale, largest
from quant.kinds.kernels import convolve, images_at_once


class ConvReference(ConvForm):
    """A convolution that the reference can run."""

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Convolution:
        """As `Layer.prepare`."""
        return Convolution(self, tensors, self.accumulator(tensors, bounds).magnitude)


class Convolution:
    """A convolution with its weights in the fastest type that is exact for it.

    magnitude: the largest that its accumulator can hold.  Arrays stand as (C, N, H, W).
    """

    def __init__(self, layer: ConvForm, tensors: Mapping[str, Tensor], magnitude: int) -> None:
        fmt = tensors[layer.output].fmt
        right, left = layer.shifts(tensors)
        reach = max(magnitude, -fmt.low, fmt.high, largest(layer.weight))
        self.dtype = np.dtype(
            np.float32 if reach < FLOAT32_EXACT else np.float64 if reach < FLOAT64_EXACT else np.int64
        )
        self.layer, self.out_dtype = layer, fmt.dtype
        self.weight = layer.weight.astype(self.dtype)
        self.bias = self._column(layer.bias)
        self.right = right.reshape(-1, 1, 1, 1)
        self.scale = self._column(float_scale(right)) if self.dtype.kind == "f" else None
        self.residual_scale = None if left is None else self._column(np.int64(1) << left)
        self.images = images_at_once(tensors, layer)

    def _column(self, values: np.ndarray) -> np.ndarray:
        return values.astype(self.dtype).reshape(-1, 1, 1, 1)

    def accumulate(self, inputs: Sequence[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
        """The accumulators before rounding, (O, n, OH, OW) of the chosen type, a batch of images at a time.

        inputs: the input, and the residual if there is one.  Yields which images, and their accumulators.
        """
        layer, x = self.layer, inputs[0]
        for start in range(0, x.shape[1], self.images):
            batch = slice(start, start + self.images)
            acc = convolve(x[:, batch], self.weight, layer.window, layer.groups, self.dtype)
            acc += self.bias
            if self.residual_scale is not None:
                acc += inputs[1][:, batch] * self.residual_scale
            yield batch, acc

    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The output (O, N, OH, OW) from the input and the residual, if there is one."""
        layer, x = self.layer, inputs[0]
        out = np.empty((len(self.weight), x.shape[1], *layer.window.output_size(*x.shape[2:])), self.out_dtype)
        for batch, acc in self.accumulate(inputs):
            if self.scale is None:
                out[:, batch] = requantize(acc, self.right, *layer.clip)
            else:  # a power of two scales exactly, and rint rounds half to even: shift_round in float
                acc *= self.scale
                np.rint(acc, out=acc)
                np.clip(acc, *layer.clip, out=acc)
                out[:, batch] = acc
        return out
