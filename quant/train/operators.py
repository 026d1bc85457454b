"""What PyTorch computes for each ONNX operator that a float layer writes itself with (`FloatLayer.write_float`).

A function takes the operator's inputs, None for one that is left out, and its attributes by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def _sides(pads: Sequence[int]) -> tuple[int, int, int, int]:
    """ONNX's (top, left, bottom, right) in PyTorch's order."""
    top, left, bottom, right = pads
    return left, right, top, bottom


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    strides: Sequence[int],
    pads: Sequence[int],
    kernel_shape: Sequence[int],
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
) -> Tensor:
    if (
        x.shape[2:] == weight.shape[2:] and group == 1 and not any(pads)
    ):  # fully connected, and many times faster as that
        return functional.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]
    around = tuple(pads[:2])
    if around != tuple(pads[2:]):
        x, around = functional.pad(x, _sides(pads)), (0, 0)
    return functional.conv2d(x, weight, bias, tuple(strides), around, tuple(dilations), group)


def _max_pool(
    x: Tensor,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> Tensor:
    if any(pads):
        x = functional.pad(x, _sides(pads), value=-math.inf)
    return functional.max_pool2d(x, tuple(kernel_shape), tuple(strides), 0, tuple(dilations))


def _average_pool(
    x: Tensor,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int] = (1, 1),
    count_include_pad: int = 0,
) -> Tensor:
    def mean(values: Tensor) -> Tensor:  # padding counts
        planes = functional.pad(values, _sides(pads))
        if tuple(dilations) == (1, 1):
            return functional.avg_pool2d(planes, tuple(kernel_shape), tuple(strides))
        channels, size = planes.shape[1], math.prod(kernel_shape)
        kernel = torch.full((channels, 1, *kernel_shape), 1 / size, dtype=planes.dtype, device=planes.device)
        return functional.conv2d(planes, kernel, None, tuple(strides), 0, tuple(dilations), channels)

    if count_include_pad or not any(pads):
        return mean(x)
    return mean(x) / mean(torch.ones_like(x[:1, :1]))


def _resize(x: Tensor, _: None, scales: Sequence[float], **copies: Any) -> Tensor:
    down, across = map(int, scales[2:])
    return x.repeat_interleave(down, 2).repeat_interleave(across, 3)


def _depth_to_space(x: Tensor, blocksize: int, mode: bytes) -> Tensor:
    if mode == b"DCR":  # PyTorch has the channels of a block one after the other
        x = x.unflatten(1, (blocksize**2, -1)).transpose(1, 2).flatten(1, 2)
    return functional.pixel_shuffle(x, blocksize)


_PAD_MODES = {b"edge": "replicate", b"reflect": "reflect", b"constant": "constant"}


def _pad(x: Tensor, ends: Sequence[int], mode: bytes) -> Tensor:
    _, _, top, left, _, _, bottom, right = ends
    return functional.pad(x, (left, right, top, bottom), _PAD_MODES[mode])


def _threshold(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def _selu(x: Tensor, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Tensor:
    return gamma * functional.elu(x, alpha)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": _conv,
    "Gemm": lambda x, weight, bias, transB: functional.linear(x, weight.flatten(1), bias),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Resize": _resize,
    "DepthToSpace": _depth_to_space,
    "Pad": _pad,
    "Concat": lambda *tensors, axis: torch.cat(tensors, axis),
    "Flatten": lambda x: x.flatten(1),
    "Constant": lambda value_ints: list(value_ints),
    "Reshape": lambda x, shape: x.reshape(len(x), *shape[1:]),
    "Relu": torch.relu,
    "Clip": lambda x, low=None, high=None: torch.clamp(x, low, high),
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Pow": torch.pow,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Abs": torch.abs,
    "Atan": torch.atan,
    "Celu": lambda x, alpha=1.0: functional.celu(x, alpha),
    "Cos": torch.cos,
    "Elu": lambda x, alpha=1.0: functional.elu(x, alpha),
    "Erf": torch.erf,
    "Exp": torch.exp,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: torch.clamp(alpha * x + beta, 0, 1),
    "HardSwish": functional.hardswish,
    "LeakyRelu": lambda x, alpha=0.01: functional.leaky_relu(x, alpha),
    "Selu": _selu,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Tanh": torch.tanh,
    "ThresholdedRelu": _threshold,
}
"""By the operator's name, with ONNX's default attributes."""

NUMBERS = {"Resize": (2,)}
"""Inputs, by operator and place, that are constants and come as a list: what says how is no work for a GPU."""
