"""Sequential bias correction (Nagel et al. 2019): each channel's mean error, taken out of its bias.

Rounded weights shift the mean of a channel, most where few weights make it up, as in depthwise layers; all
layers after it see that shift.  The mean of a convolution over images and positions is linear in its input, so
the mean image of each tensor is all that is needed.
"""

from __future__ import annotations

import numpy as np

from quant.graph import FloatConv
from quant.kernels import convolve


def mean_output(layer: FloatConv, weight: np.ndarray, image: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
    """The mean of each output channel before bias and clip, from the mean images of input and residual.

    weight: float, the shape of the layer's; image: float (I, H, W); residual: float (O, OH, OW).
    Returns float64 (O,).
    """
    out = convolve(image[:, None], weight, layer.window, layer.groups, np.dtype(np.float64))
    means: np.ndarray = out.mean((1, 2, 3))
    return means if residual is None else means + residual.mean((1, 2))


def corrected(
    layer: FloatConv,
    weight: np.ndarray,
    float_means: tuple[np.ndarray, np.ndarray | None],
    fixed_means: tuple[np.ndarray, np.ndarray | None],
) -> np.ndarray:
    """The bias that gives the fixed-point layer the float layer's mean in each channel.  Returns float64 (O,).

    weight: the values that the quantized weights stand for.  float_means, fixed_means: the mean images of
    the input and of the residual in either network, real values.
    """
    wanted = mean_output(layer, layer.weight, *float_means)
    return layer.bias + (wanted - mean_output(layer, weight, *fixed_means))
