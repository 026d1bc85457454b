"""Integer networks at the ends of every range and past them: some compile, all others must be refused."""

from __future__ import annotations

import dataclasses

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import Builder, random_window

SHIFTS = (-60, -17, -16, -15, -14, -1, 0, 7, 24, 33, 47, 48, 49, 60, 130)
RESIDUAL_SHIFTS = (0, 1, 15, 23, 24, 31, 32, 47, 60)
BITS = (8,) * 40 + (16, 4, 12)


def extreme_network(rng: np.random.Generator) -> Network:
    """One layer or two, each with something about it that the engine may not have."""
    b = Builder(rng, _shape(rng), bool(rng.integers(2)))
    _set_format(b, "x", _format(rng))
    made = _layer(b, rng, "x")
    if rng.integers(2):
        _layer(b, rng, made)
    return b.network()


def _pick(rng: np.random.Generator, values: tuple[int, ...]) -> int:
    return values[int(rng.integers(len(values)))]


def _shape(rng: np.random.Generator) -> tuple[int, int, int]:
    match rng.integers(8):
        case 0:
            return 1, 1, _pick(rng, (4095, 4096, 600))
        case 1:
            return 1, _pick(rng, (2050, 300, 131)), _pick(rng, (1, 2))
        case 2:
            return _pick(rng, (300, 1100)), 1, 1
        case _:
            return int(rng.integers(1, 20)), int(rng.integers(1, 14)), int(rng.integers(1, 14))


def _format(rng: np.random.Generator) -> QFormat:
    return QFormat(_pick(rng, BITS), int(rng.integers(-20, 30)), bool(rng.integers(2)))


def _set_format(b: Builder, name: str, fmt: QFormat) -> None:
    b.tensors[name] = dataclasses.replace(b.tensors[name], fmt=fmt)


def _window(rng: np.random.Generator, height: int, width: int, pooling: bool) -> Window:
    match rng.integers(6):
        case 0:
            stride = _pick(rng, (15, 16, 31, 32)), _pick(rng, (1, 31, 40))
            return Window((min(2, height), min(3, width)), stride)
        case 1:
            return Window((min(height, _pick(rng, (127, 128, 255, 256))), 1))
        case 2 if not pooling:
            pad = _pick(rng, (127, 128, 300))
            return Window((1, 1), (16, 16), (pad, 0, pad, 1))
        case 3 if height > 2:
            dilation = min((height - 1) // 1, _pick(rng, (2, 63, 64, 70)))
            return Window((2, 1), (1, 1), (0, 0, 0, 0), (dilation, 1))
        case _:
            return random_window(rng, height, width, pooling)


def _layer(b: Builder, rng: np.random.Generator, source: str) -> str:
    channels, height, width = b.shape(source)
    match rng.integers(7):
        case 0:
            kind = ("max", "average")[int(rng.integers(2))]
            made = b.pool(source, kind, _window(rng, height, width, True))
            if kind == "average":
                _pooled_format(b, rng, source, made)
            return made
        case 1:
            other = b.conv(source, channels, Window())
            _requantize(b, rng, other)
            made = b.add(source, other)
            _set_format(b, made, _near(rng, b, source))
            last = b.layers[-1]
            fmt = b.tensors[made].fmt
            b.layers[-1] = dataclasses.replace(last, clip=(fmt.low, fmt.high))  # type: ignore[type-var]
            return made
        case 2:
            fmt = b.tensors[source].fmt
            return b.concat(b.conv(source, 3, Window(), fmt=fmt), source, b.conv(source, 5, Window(), fmt=fmt))
        case 3 if height * width <= 300:
            made = b.conv(source, 4, Window((height, width)), op="Gemm")
        case 4:
            groups = channels
            made = b.conv(source, channels, _window(rng, height, width, False), groups=groups)
        case 5:
            residual = b.conv(source, 6, Window())
            _requantize(b, rng, residual)
            made = b.conv(source, 6, Window(), residual=residual)
            _residual_format(b, rng, source, residual)
            return made
        case _:
            made = b.conv(source, int(rng.integers(1, 10)), _window(rng, height, width, False))
    _requantize(b, rng, made)
    return made


def _near(rng: np.random.Generator, b: Builder, source: str) -> QFormat:
    frac = b.tensors[source].fmt.frac + _pick(rng, (0, 1, -3, 14, 15, 16, -30))
    return QFormat(_pick(rng, BITS), frac, bool(rng.integers(2)))


def _requantize(b: Builder, rng: np.random.Generator, name: str) -> None:
    """Another format for a convolution's output, so that its channels are shifted by what the engine may not have."""
    layer = b.layers[-1]
    fmt = _format(rng)
    _set_format(b, name, fmt)
    shift = _pick(rng, SHIFTS) if rng.integers(2) else 9
    channels = b.shape(name)[0]
    frac = fmt.frac + shift - b.tensors[layer.inputs[0]].fmt.frac + (rng.integers(-1, 2, channels) if shift == 9 else 0)
    bias = rng.integers(-1, 2, channels) << int(rng.integers(0, 31))
    changes = {"weight_frac": np.broadcast_to(frac, channels), "bias": bias, "clip": (fmt.low, fmt.high)}
    if rng.integers(8) == 0:
        changes["weight_bits"] = _pick(rng, (4, 16))
        changes["weight"] = layer.weight // 16 if changes["weight_bits"] == 4 else layer.weight * 3  # type: ignore[attr-defined]
    b.layers[-1] = dataclasses.replace(layer, **changes)  # type: ignore[type-var]


def _residual_format(b: Builder, rng: np.random.Generator, source: str, residual: str) -> None:
    """Another format for the residual of the last layer, whose accumulators all have one fractional length."""
    layer = b.layers[-1]
    frac = int(layer.weight_frac.max())  # type: ignore[attr-defined]
    b.layers[-1] = dataclasses.replace(layer, weight_frac=np.full(6, frac))  # type: ignore[type-var]
    old = b.tensors[residual].fmt
    shifted = b.tensors[source].fmt.frac + frac - _pick(rng, RESIDUAL_SHIFTS)
    _set_format(b, residual, QFormat(old.bits, shifted, old.signed))


def _pooled_format(b: Builder, rng: np.random.Generator, source: str, made: str) -> None:
    frac = b.tensors[source].fmt.frac + _pick(rng, (-40, -20, -2, 0, 3, 12, 20, 40))
    fmt = QFormat(_pick(rng, BITS), frac, b.tensors[source].fmt.signed)
    _set_format(b, made, fmt)
    last = b.layers[-1]
    b.layers[-1] = dataclasses.replace(last, clip=(fmt.low, fmt.high))  # type: ignore[type-var]
