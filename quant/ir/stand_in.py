"""An integer network of the shapes of a float graph, of any numbers: for what depends on shapes alone, such as what a
target refuses and how many cycles it takes, before formats are chosen.
"""

from __future__ import annotations

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.tensor import Tensor

FORMAT = QFormat(8, 4, True)
"""Stands for every format."""


def stand_in(graph: FloatGraph) -> Network:
    """The network, its layers and tensors one for one."""
    tensors = {name: Tensor(name, shape, FORMAT) for name, shape in graph.shapes.items()}
    layers = tuple(layer.stand_in(tensors) for layer in graph.layers)
    return Network(graph.name, tensors, layers, graph.inputs, graph.outputs)
