"""Which layers of a network run once for several images: fully connected ones at its end.

Such a layer reads each weight for a single pixel, so that the memory sets its time.  Run once, it reads what it needs
of all images one below the other, as one map of so many times the rows, over which its kernel goes in steps of the rows
of an image: a weight block then meets a pixel of each image.  As long as these are no more than the beats of a block,
all of them take the time of one.
"""

from __future__ import annotations

import dataclasses

from host.compiler.cost import cost
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.errors import CannotCompile
from host.compiler.limits import highest
from host.compiler.problem import problem
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.contract.layout import Placement
from hw.contract.memory import Memory
from quant.ir.tensor import Tensor
from quant.ir.window import Window


def taller(tensor: Tensor, images: int) -> Tensor:
    """A tensor of so many images, one below the other."""
    channels, rows, columns = tensor.shape
    return dataclasses.replace(tensor, shape=(channels, images * rows, columns))


def for_all(layer: EngineLayer, images: int) -> EngineLayer:
    """A layer of one pixel for so many images, on inputs that are `taller`."""
    return dataclasses.replace(
        layer,
        window=Window(layer.window.kernel, (layer.window.kernel[0], 1)),
        result=taller(layer.result, images),
        macs=images * layer.macs,
        input_elements=images * layer.input_elements,
    )


class Once:
    """The layers that run once.  layers: their indexes.  tensors: all that they read and write, which is taller."""

    def __init__(self, lowered: Lowered, images: int, config: AcceleratorConfig, memory: Memory) -> None:
        self._lowered, self._images, self._config, self._memory = lowered, images, config, memory
        self._roots = _roots(lowered)
        self.layers = self._paying() if images > 1 else frozenset()
        stacked = self._stacked(self.layers)
        self.tensors = frozenset(name for name, root in self._roots.items() if root in stacked)

    def _paying(self) -> frozenset[int]:
        """Those that could run once, take less time so, and are followed by nothing else."""
        found = frozenset(k for k, layer in enumerate(self._lowered.layers) if self._could(layer) and self._pays(layer))
        while True:
            others = [layer for k, layer in enumerate(self._lowered.layers) if k not in found]
            read = {self._roots[name] for layer in others for name in layer.inputs}
            kept = frozenset(k for k in found if not read & self._stacked({k}))
            if kept == found:
                return found
            found = kept

    def _stacked(self, layers: frozenset[int] | set[int]) -> set[str]:
        """The roots of what some layers read or write."""
        some = [self._lowered.layers[k] for k in layers]
        return {self._roots[name] for layer in some for name in (*layer.inputs, *layer.outputs)}

    def _could(self, layer: EngineLayer) -> bool:
        """Whether a layer makes one pixel of all of its input, and instructions hold its kernel."""
        rows, columns = size = self._lowered.tensors[layer.source].shape[1:]
        window, seen = layer.window, {*self._lowered.reshaped, *self._lowered.reshaped.values()}
        return (
            window.kernel == size
            and not any(window.pads)
            and window.dilation == (1, 1)
            and (layer.groups == 1 or size == (1, 1))
            and layer.pooling is None
            and layer.spread is None
            and seen.isdisjoint((*layer.inputs, *layer.outputs))
            and rows <= min(highest(Opcode.SETUP, field) for field in ("kernel_rows", "stride_rows"))
            and columns <= highest(Opcode.SETUP, "kernel_columns")
        )

    def _pays(self, layer: EngineLayer) -> bool:
        """Whether a layer takes less time once than for each image; not where its tiles do not fit so."""

        def cycles(layer: EngineLayer, source: Tensor) -> int:
            placement = Placement(source.name, 0, source.shape, source.fmt, tuple(range(source.shape[0])))
            posed = problem(self._config, layer, placement, tuple(range(layer.result.shape[0])), self._memory)
            return min(cost(posed, way) for way in ways(posed))[0]

        source = self._lowered.tensors[layer.source]
        try:
            once = cycles(for_all(layer, self._images), taller(source, self._images))
            return once < self._images * cycles(layer, source)
        except CannotCompile:
            return False


def _roots(lowered: Lowered) -> dict[str, str]:
    """Of each tensor one that stands for all whose words it shares: parts of joins, what is seen in another way."""
    root = {name: name for name in lowered.tensors}

    def of(name: str) -> str:
        return name if root[name] == name else of(root[name])

    pairs = [(part, whole) for whole, parts in lowered.joins.items() for part in parts]
    for one, other in [*pairs, *lowered.reshaped.items()]:
        root[of(one)] = of(other)
    return {name: of(name) for name in root}
