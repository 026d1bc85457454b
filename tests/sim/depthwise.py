"""Random chains of depthwise layers and of groups: kernels, strides, padding, dilation, residuals, poolings."""

from __future__ import annotations

import numpy as np

from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder

KERNELS = [(3, 3), (3, 3), (3, 3), (3, 1), (1, 3), (2, 2), (5, 5), (1, 9), (7, 4)]


def depthwise_network(seed: int, layers: int = 3) -> Network:
    """A chain of them, the last one with wide results at times; each reads the network's input or the layer before."""
    rng = np.random.default_rng([seed, 211])
    shape = int(rng.integers(1, 40)), int(rng.integers(1, 24)), int(rng.integers(1, 24))
    b = Builder(rng, shape, bool(rng.integers(2)))
    source = "x"
    for _ in range(layers):
        source = (_grouped if rng.random() < 0.25 else _depthwise)(b, source, rng)
    if rng.random() < 0.3:
        channels = b.shape(source)[0]
        b.conv(source, channels, _window(b, source, rng), channels, bits=16)
    return b.network()


def _window(b: Builder, source: str, rng: np.random.Generator) -> Window:
    kernel = KERNELS[int(rng.integers(len(KERNELS)))]
    dilation = int(rng.choice([1, 1, 1, 2, 3, 4, 8])), int(rng.choice([1, 1, 1, 1, 2]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    same = rng.random() < 0.5
    before = [r // 2 if same else int(rng.integers(r)) for r in reach]
    after = [(r - 1) // 2 if same else int(rng.integers(r)) for r in reach]
    sizes = zip(reach, b.shape(source)[1:], before, after, strict=True)
    after = [max(behind, r - size - ahead) for r, size, ahead, behind in sizes]  # one result at least
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4))) if rng.random() < 0.5 else (1, 1)
    return Window(kernel, stride, (before[0], before[1], after[0], after[1]), dilation)


def _grouped(b: Builder, source: str, rng: np.random.Generator) -> str:
    """Groups of a few channels behind a dense layer, which can put each group into a lane of its own."""
    groups, inputs, outputs = int(rng.integers(3, 14)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    dense = b.conv(source, groups * inputs, Window())
    window = SAME if rng.random() < 0.5 else _window(b, dense, rng)
    return b.conv(dense, groups * outputs, window, groups)


def _depthwise(b: Builder, source: str, rng: np.random.Generator) -> str:
    channels, *size = b.shape(source)
    window = _window(b, source, rng)
    keeps = list(window.output_size(*size)) == size
    out = b.conv(source, channels, window, channels, source if keeps and source != "x" and rng.random() < 0.5 else None)
    if rng.random() < 0.3 and min(b.shape(out)[1:]) > 1:
        return b.pool(out, str(rng.choice(["max", "average"])), Window((2, 2), (2, 2)))
    return out
