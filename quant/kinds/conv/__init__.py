"""Convolutions and fully connected layers, with the residual, the clip and the one rounding fused into them."""

from quant.kinds.conv.float_form import FloatConv, float_convolution, float_convolutions
from quant.kinds.conv.form import conv_sums
from quant.kinds.conv.layer import Conv, convolution

__all__ = ["Conv", "FloatConv", "conv_sums", "convolution", "float_convolution", "float_convolutions"]
