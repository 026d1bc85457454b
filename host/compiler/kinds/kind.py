"""What the compiler asks of a kind of layer."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, OutputPooling
from host.compiler.errors import CannotCompile
from hw.contract.config import AcceleratorConfig
from quant.ir.layer import Layer
from quant.ir.network import Network

K = TypeVar("K", bound=Layer)


class EngineKind(Generic[K]):
    """A kind of layer on the engine: what it becomes, and what of it the engine cannot run.

    This class is the answer for a kind that the engine does not have.
    joins: its output is its inputs, wherever they are: it reads and writes nothing itself.
    before_pooling: its results pass the array, so that a pooling can run behind it (`EngineBuilder.append_pooled`).
    """

    joins = False
    before_pooling = False

    def check(self, network: Network, layer: K, config: AcceleratorConfig) -> None:
        """Raise CannotCompile for a layer beyond what the engine's instructions can say."""
        raise CannotCompile(layer.name, f"the engine has no {layer.operator}", "end the network before it")

    def pooling(self, network: Network, layer: K) -> OutputPooling | None:
        """What it becomes behind the layer that writes its input; None for a kind that is no pooling."""
        return None

    def follows(self, network: Network, layer: K, before: Layer) -> bool:
        """Whether it is appended together with the layer that writes its input, and that nothing else reads.

        before: that layer, or, where that follows another one itself, the first of them.
        """
        return False

    def follow(self, layer: K, builder: EngineBuilder, before: EngineLayer) -> str:
        """Add to a builder what writes its input, as it would be alone, and the layer; returns its output."""
        raise NotImplementedError

    def lower(self, layer: K, builder: EngineBuilder) -> None:
        """Add to a builder what a layer becomes that `check` has passed."""
        raise NotImplementedError


AnyEngineKind = EngineKind[Any]
