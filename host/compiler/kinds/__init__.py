"""The kinds of layer on the engine, a module each; a kind that is not named here is refused.

The registry is by class: no code of the compiler asks a layer which kind it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from host.compiler.kinds.add import AddOnEngine
from host.compiler.kinds.concat import ConcatOnEngine
from host.compiler.kinds.constant_pad import ConstantPadOnEngine
from host.compiler.kinds.conv import ConvOnEngine
from host.compiler.kinds.depth_to_space import DepthToSpaceOnEngine
from host.compiler.kinds.edge_pad import EdgePadOnEngine
from host.compiler.kinds.kind import AnyEngineKind, EngineKind
from host.compiler.kinds.multiply import MultiplyOnEngine
from host.compiler.kinds.pool import PoolOnEngine
from host.compiler.kinds.resize import ResizeOnEngine
from host.compiler.kinds.table import TableOnEngine
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import Conv
from quant.kinds.depth_to_space import DepthToSpace
from quant.kinds.edge_pad import EdgePad
from quant.kinds.multiply import Multiply
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table

KINDS: Mapping[type[Layer], AnyEngineKind] = {
    Add: AddOnEngine(),
    Concat: ConcatOnEngine(),
    ConstantPad: ConstantPadOnEngine(),
    Conv: ConvOnEngine(),
    DepthToSpace: DepthToSpaceOnEngine(),
    EdgePad: EdgePadOnEngine(),
    Multiply: MultiplyOnEngine(),
    Pool: PoolOnEngine(),
    Resize: ResizeOnEngine(),
    Table: TableOnEngine(),
}

_NONE: AnyEngineKind = EngineKind()


def on_engine(layer: Layer) -> AnyEngineKind:
    """The compiler's side of a layer's kind."""
    return KINDS.get(type(layer), _NONE)


def follows(network: Network, layer: Layer) -> bool:
    """Whether a layer is appended together with the one that writes its input, which reaches no memory then."""
    source = layer.inputs[0]
    before = network.producer(source)
    if before is None or source in network.outputs or network.consumers(source) != [layer]:
        return False
    if not on_engine(before).before_pooling:
        return False
    while follows(network, before):
        before = network.producer(before.inputs[0])
        assert before is not None
    return on_engine(layer).follows(network, layer, before)
