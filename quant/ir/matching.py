"""Which tensor of a float network each tensor of an integer network stands for.

Inputs and outputs are matched by their places, since another tool may have named them otherwise; tensors inside by
name, where their shapes agree.
"""

from __future__ import annotations

from dataclasses import replace

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.network import Network

RENAMED = "/float"
"""Behind the name of a tensor that the integer network has in another shape."""


def matched(network: Network, graph: FloatGraph) -> FloatGraph:
    """The float network with the integer network's names: tensors of one name stand for the same.

    Its inputs and its outputs get the names of the network's; a tensor inside that has such a name, or that of a tensor
    of another shape, gets one that the network has not.  Of an output that is two of the other network's, the first
    counts.  Raises BadInput where the numbers of inputs or outputs differ, or the shape of one.
    """
    if len(network.outputs) != len(graph.outputs):
        raise BadInput(f"{network.name} has {len(network.outputs)} outputs, the float network {len(graph.outputs)}")
    if (network.tail is None) != (graph.tail is None):
        which = network.name if graph.tail is None else f"the float network {graph.name}"
        raise BadInput(f"only {which} has an end on the host: these are not the same network")
    if len(network.inputs) != len(graph.inputs):
        raise BadInput(f"{network.name} has {len(network.inputs)} inputs, the float network {len(graph.inputs)}")
    ends = [("input", ours, theirs) for ours, theirs in zip(network.inputs, graph.inputs, strict=True)]
    ends += [("output", ours, theirs) for ours, theirs in zip(network.outputs, graph.outputs, strict=True)]
    names: dict[str, str] = {}
    for role, ours, theirs in ends:
        here, there = network.tensors[ours].shape, graph.shapes[theirs]
        if here != there:
            raise BadInput(f"{network.name}: {role} {ours} is {here}, but {role} {theirs} of the float network {there}")
        if theirs not in names and ours not in names.values():
            names[theirs] = ours
    used = {*names.values(), *network.tensors, *graph.shapes}
    for name, shape in graph.shapes.items():
        other = network.tensors.get(name)
        if name in names or (name not in names.values() and (other is None or other.shape == shape)):
            continue
        fresh = f"{name}{RENAMED}"
        while fresh in used:
            fresh += "_"
        used.add(fresh)
        names[name] = fresh
    if all(old == new for old, new in names.items()):
        return graph

    def new(tensor: str) -> str:
        return names.get(tensor, tensor)

    return replace(
        graph,
        layers=tuple(layer.renamed(names) for layer in graph.layers),
        shapes={new(name): shape for name, shape in graph.shapes.items()},
        inputs=tuple(map(new, graph.inputs)),
        outputs=tuple(map(new, graph.outputs)),
        results=tuple((new(name), operation) for name, operation in graph.results),
        output_shapes={new(name): shape for name, shape in graph.output_shapes.items()},
        source={new(name): tensor for name, tensor in graph.source.items()},
        places={new(name): places for name, places in graph.places.items()},
    )
