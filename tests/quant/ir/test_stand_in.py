from __future__ import annotations

from quant.ir.stand_in import FORMAT, stand_in
from quant.ir.well_formed import well_formed
from tests.quant.float_graphs import branches


def test_it_has_the_layers_and_shapes_of_the_graph():
    graph = branches()
    network = well_formed(stand_in(graph))
    assert {name: tensor.shape for name, tensor in network.tensors.items()} == graph.shapes
    assert [(a.name, a.inputs, a.output) for a in network.layers] == [
        (b.name, b.inputs, b.output) for b in graph.layers
    ]
    assert {tensor.fmt for tensor in network.tensors.values()} == {FORMAT} and network.outputs == graph.outputs
