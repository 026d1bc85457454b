"""A network for several images in one run.

One image follows the other, with all layers but those that run once for all images (`once`), which come at the end.
The layers of all images are run alike, and their weights lie in memory once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from host.compiler.chip import OnChip, Resident
from host.compiler.engine_layer import HIDDEN, EngineLayer, Lowered, Spread
from host.compiler.once import Once, for_all, taller
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant.ir.tensor import Tensor

_IMAGE = f"{HIDDEN}image "
"""Stands in the name of a tensor of one image of several, before its number."""


@dataclass(frozen=True, eq=False)
class Turn:
    """A layer in its turn.  index: of that in `Batch.single` which it runs like.  image: its, None for all of them."""

    layer: EngineLayer
    index: int
    image: int | None


class Batch:
    """A network for so many images.

    single: it for the first image, with the layers behind it that run once for all.
    """

    def __init__(self, lowered: Lowered, images: int, config: AcceleratorConfig, memory: Memory) -> None:
        self.images = images
        once = Once(lowered, images, config, memory)
        self._taller = once.tensors
        self._each = [layer for k, layer in enumerate(lowered.layers) if k not in once.layers]
        self._once = [for_all(lowered.layers[k], images) for k in sorted(once.layers)]
        tensors = {name: self._seen(tensor) for name, tensor in lowered.tensors.items()}
        layers = [self._copy(layer, 0, str) for layer in self._each] + self._once
        self.single = dataclasses.replace(lowered, tensors=tensors, layers=layers)

    @property
    def count(self) -> int:
        """Turns of all layers."""
        return self.images * len(self._each) + len(self._once)

    def name(self, tensor: str, image: int | None) -> str:
        """What a tensor of `single` is named, of one image, in `whole`."""
        alone = self.images == 1 or image is None or tensor in self._taller
        return tensor if alone else f"{tensor}{_IMAGE}{image}"

    def names(self, tensor: str) -> tuple[str, ...]:
        """The tensors of `whole` that hold one of `single`, in the order of images."""
        return tuple(dict.fromkeys(self.name(tensor, image) for image in range(self.images)))

    def turns(self) -> Iterator[Turn]:
        """All layers in the order in which they run.  What was read for the first image need not be read again."""
        for image in range(self.images):
            for index, layer in enumerate(self._each):
                turn = self._copy(layer, image, self._namer(image))
                turn = turn if image == 0 else dataclasses.replace(turn, weight_elements=0)
                yield Turn(turn, index, None if self.images == 1 else image)
        for index, layer in enumerate(self._once, len(self._each)):
            yield Turn(layer, index, None)

    def whole(self, turns: Sequence[Turn]) -> Lowered:
        """The network of all images, of these layers."""
        one, found = self.single, Lowered(self.single.network)
        for name in map(self._namer, range(self.images)):
            found.tensors |= {name(n): dataclasses.replace(t, name=name(n)) for n, t in one.tensors.items()}
            found.views |= {name(n): view for n, view in one.views.items()}
            found.joins |= {name(n): tuple(map(name, parts)) for n, parts in one.joins.items()}
            found.reshaped |= {name(n): name(known) for n, known in one.reshaped.items()}
            found.asked |= {name(n): lanes for n, lanes in one.asked.items()}
            found.alike |= {name(n): name(other) for n, other in one.alike.items()}
        outputs = tuple(name for output in one.outputs for name in self.names(output))
        return dataclasses.replace(found, outputs=outputs, layers=[turn.layer for turn in turns])

    def chip(self, chip: OnChip, image: int | None) -> OnChip:
        """What lies on the chip in a layer of `single`, in its turn for an image."""
        name = self._namer(image)

        def of(resident: Resident) -> Resident:
            return dataclasses.replace(resident, tensor=name(resident.tensor))

        return dataclasses.replace(
            chip,
            source=chip.source and of(chip.source),
            residual=chip.residual and of(chip.residual),
            results={name(n): tuple((of(r), plane) for r, plane in copies) for n, copies in chip.results.items()},
            unstored=frozenset(map(name, chip.unstored)),
        )

    def _namer(self, image: int | None) -> Callable[[str], str]:
        return lambda tensor: self.name(tensor, image)

    def _seen(self, tensor: Tensor) -> Tensor:
        """A tensor as one image sees it: with what lies below it."""
        return taller(tensor, self.images) if tensor.name in self._taller else tensor

    def _copy(self, layer: EngineLayer, image: int, name: Callable[[str], str]) -> EngineLayer:
        """A layer for an image, on tensors that are named so."""
        pooling = layer.pooling
        if pooling is not None:
            result = dataclasses.replace(pooling.result, name=name(pooling.result.name))
            spread = self._spread(pooling.spread, pooling.result, image, name)
            pooling = dataclasses.replace(pooling, result=result, spread=spread)
        return dataclasses.replace(
            layer,
            source=name(layer.source),
            residual=None if layer.residual is None else name(layer.residual),
            result=dataclasses.replace(layer.result, name=name(layer.result.name)),
            spread=self._spread(layer.spread, layer.result, image, name) if layer.keep else layer.spread,
            pooling=pooling,
        )

    def _spread(self, spread: Spread | None, result: Tensor, image: int, name: Callable[[str], str]) -> Spread | None:
        """Where an image's results go: into those of all, below the images before it."""
        target = result if spread is None else spread.whole
        if target.name not in self._taller:
            return spread and dataclasses.replace(spread, whole=dataclasses.replace(target, name=name(target.name)))
        first = image * target.shape[1]
        spread = spread or Spread(target, 1, (0,))
        firsts = tuple(first + row for row in spread.firsts)
        return dataclasses.replace(spread, whole=self._seen(target), firsts=firsts)


def image_of(tensor: str) -> int | None:
    """Of which image a tensor of `Batch.whole` is; None for all of them."""
    _, _, image = tensor.partition(_IMAGE)
    return int(image) if image else None
