"""Folding the taps of first layers into lanes: three input channels would leave most multipliers idle.

Whoever writes the network's input gathers the taps; the engine then sees a convolution with more channels
and fewer taps (`hw.contract.layout.Fold`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.cost import cost
from host.compiler.engine_layer import HIDDEN, EngineLayer, Lowered, View
from host.compiler.errors import CannotCompile
from host.compiler.lower import lower
from host.compiler.problem import problem
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Fold, Placement
from hw.contract.memory import Memory
from quant.compress.blocks import Block
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.well_formed import well_formed
from quant.ir.window import Window


def fold_inputs(lowered: Lowered, config: AcceleratorConfig, memory: Memory) -> None:
    """Give each dense convolution of an input the view of it that costs least; drop unused views.

    Raises CannotCompile where none of a layer's views can be run.
    """
    for index, layer in enumerate(lowered.layers):
        if layer.source in lowered.views and layer.groups == 1:
            lowered.layers[index] = _folded(lowered, layer, config, memory)
    read = {name for layer in lowered.layers for name in layer.inputs}
    read |= {known for name, known in lowered.reshaped.items() if name in read}
    read |= {part for join in lowered.joins.values() for part in join}
    for name in [name for name in lowered.views if name not in read]:
        del lowered.views[name], lowered.tensors[name]


def folded(network: Network, config: AcceleratorConfig, memory: Memory | None = None) -> dict[str, tuple[int, int]]:
    """Which taps of its kernel, rows and columns, a layer of a network has beside its input channels, by layer, where
    `compile_network` folds it for a configuration and a memory.

    Raises CannotCompile as that does.
    """
    lowered = lower(well_formed(network), config)
    kernels = {layer.name: layer.window.kernel for layer in lowered.layers}
    fold_inputs(lowered, config, memory or Memory())
    return {
        layer.name: (rows // layer.window.kernel[0], columns // layer.window.kernel[1])
        for layer in lowered.layers
        for rows, columns in [kernels[layer.name]]
        if layer.window.kernel != (rows, columns)
    }


def _folded(lowered: Lowered, layer: EngineLayer, config: AcceleratorConfig, memory: Memory) -> EngineLayer:
    """A layer on its best view, which is entered."""
    plain, given = lowered.tensors[layer.source], lowered.views[layer.source]
    options, refusals = [], []
    for fold, window in _options(layer.window):
        wanted = given if fold is None else _behind(given, fold)
        if wanted is None:
            continue
        view = plain if fold is None else _view(lowered, plain, fold, wanted)
        option = dataclasses.replace(layer, source=view.name, weight=_weights(layer.weight, fold), window=window)
        try:
            options.append((_rate(option, view, config, memory), option, view, wanted))
        except CannotCompile as refusal:
            refusals.append(refusal)
    if not options:
        raise refusals[-1]
    _, best, view, wanted = min(options, key=lambda option: option[0])
    lowered.views[view.name], lowered.tensors[view.name] = wanted, view
    return best


def _options(window: Window) -> list[tuple[Fold | None, Window]]:
    """Nothing folded, the kernel's columns, all of it; each with the window that is left."""
    top, left, bottom, right = window.pads
    options: list[tuple[Fold | None, Window]] = [(None, window)]
    if window.kernel[1] > 1:
        columns = Window((1, window.kernel[1]), (1, window.stride[1]), (0, left, 0, right), (1, window.dilation[1]))
        rows = Window((window.kernel[0], 1), (window.stride[0], 1), (top, 0, bottom, 0), (window.dilation[0], 1))
        options.append((Fold(columns), rows))
    if window.kernel != (1, 1):
        options.append((Fold(window), Window()))
    return options


def _behind(given: View, fold: Fold) -> View | None:
    """A view folded once more, which is surrounded by numbers at most; None where zeros would be around these."""
    if given.fold is None:
        return View(given.source, fold)
    if any(fold.window.pads):
        return None
    return View(given.source, Fold(fold.window.padded(given.fold.window.pads), given.fold.fill))


def _view(lowered: Lowered, plain: Tensor, fold: Fold, wanted: View) -> Tensor:
    """The input, folded; layers that want the same share it."""
    known = [name for name, other in lowered.views.items() if other == wanted]
    name = known[0] if known else f"{plain.name}{HIDDEN}{len(lowered.views)}"
    taps = fold.window.kernel[0] * fold.window.kernel[1]
    return Tensor(name, (plain.shape[0] * taps, *fold.window.output_size(*plain.shape[1:])), plain.fmt)


def _rate(layer: EngineLayer, view: Tensor, config: AcceleratorConfig, memory: Memory) -> tuple[int, int]:
    """The cost of a layer on a view of its input."""
    source = Placement(view.name, 0, view.shape, view.fmt, tuple(range(view.shape[0])))
    posed = problem(config, layer, source, tuple(range(layer.result.shape[0])), memory)
    return min(cost(posed, way) for way in ways(posed))


def _weights(weight: np.ndarray, fold: Fold | None) -> np.ndarray:
    """Weights (O, I, KH, KW) over the channels (ky * KW + kx) * C + c of a fold."""
    if fold is None:
        return weight
    return Block(1, 1, fold.window.kernel).arranged(weight)
