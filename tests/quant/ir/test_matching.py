"""Networks whose tensors a file of another tool names otherwise: matched by place, the rest by name and shape."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare import accumulate, compare_layers, dump_tensors, sensitivities
from quant.ir.host import HostOperation
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.ir.scales import tensor_scales, with_scales
from quant.ir.tensor import Tensor
from quant.kinds.conv import Conv
from quant.run.evaluation import accuracy
from quant.search import quantize_network
from tests.quant.float_graphs import Builder, branches, images


def renamed_network(network: Network, names: dict[str, str]) -> Network:
    """The integer network with some of its tensors under other names."""

    def new(tensor: str) -> str:
        return names.get(tensor, tensor)

    layers = []
    for layer in network.layers:
        found = {"output": new(layer.output)}
        fields = {field.name for field in dataclasses.fields(layer)}
        found |= {"inputs": tuple(map(new, layer.inputs))} if "inputs" in fields else {"input": new(layer.input)}
        if isinstance(layer, Conv) and layer.residual is not None:
            found["residual"] = new(layer.residual)
        layers.append(replace(layer, **found))
    tensors = {new(name): replace(tensor, name=new(name)) for name, tensor in network.tensors.items()}
    outputs = tuple(map(new, network.outputs))
    scales = {new(name): values for name, values in tensor_scales(network).items()}
    other = replace(network, layers=tuple(layers), tensors=tensors, inputs=(new(network.inputs[0]),), outputs=outputs)
    return with_scales(other, scales)


def two_outputs():
    net = Builder(4)
    one = net.conv("one", "x", 4)
    return net.graph(net.conv("left", one, 3), net.conv("right", one, 3))


def test_names_that_agree_leave_the_graph_as_it_is():
    graph = branches()
    assert matched(quantize_network(graph, images(4), effort="fast"), graph) is graph


@pytest.mark.parametrize("names", [{"fc.y": "logits_real"}, {"fc.y": "logits_real", "x": "pixels"}])
def test_input_and_outputs_of_other_names_change_no_figure(names):
    graph, x = branches(), images(9, seed=3)
    network = quantize_network(graph, images(6))
    other = renamed_network(network, names)

    def figures(network: Network) -> list[object]:
        found = accumulate(network, graph, x)
        assert found.left_out == ()
        tensors = [replace(tensor, tensor=back.get(tensor.tensor, tensor.tensor)) for tensor in found.tensors]
        ranked = [
            (one.alone.layer, one.alone.output_noise, one.alone.sqnr_db, one.reason, one.tried)
            for one in sensitivities(network, graph, x, found)
        ]
        arrays = dump_tensors(network, graph, x, ("fc", "stem"))
        dumped = {key.split("/")[0] + back.get(key.split("/")[1], key.split("/")[1]) for key in arrays}
        return [tensors, ranked, accuracy(network, graph, x), dumped, *(a.tolist() for a in arrays.values())]

    back = {new: old for old, new in names.items()}
    assert figures(other) == figures(network)


def test_outputs_are_matched_by_their_places():
    """Even where each has the other's name."""
    graph, x = two_outputs(), images(5)
    network = quantize_network(graph, images(4))
    crossed = renamed_network(network, {"left.y": "right.y", "right.y": "left.y"})
    wanted = {c.layer: c.sqnr_db for c in compare_layers(network, graph, x)}
    assert {c.layer: c.sqnr_db for c in compare_layers(crossed, graph, x)} == wanted
    assert min(value for value in wanted.values() if value is not None) > 20


def test_tensors_inside_of_other_names_are_left_out_and_no_more():
    graph, x = branches(), images(5)
    network = quantize_network(graph, images(6))
    other = renamed_network(network, {"stem.y": "a", "cat.y": "b", "mean.y": "c", "fc.y": "d"})
    found = accumulate(other, graph, x)
    assert found.left_out == ("stem.y", "cat.y", "mean.y")
    assert [c.tensor for c in found.tensors] == [n for n in other.tensors if n not in "abc"]
    entries = {one.alone.layer: one.alone for one in sensitivities(other, graph, x, found)}
    whole = sensitivities(network, graph, x, accumulate(network, graph, x))
    wanted = {one.alone.layer: one.alone for one in whole}
    assert set(wanted) - set(entries) == {"stem", "joined", "mean"}  # joined adds a tensor of another name
    for name, entry in entries.items():
        assert entry.output_noise == pytest.approx(wanted[name].output_noise, rel=1e-4)


def test_a_name_that_stands_for_another_tensor_is_not_compared():
    graph, x = branches(), images(3)
    network = quantize_network(graph, images(4), effort="fast")
    other = renamed_network(network, {"fc.y": "stem.y", "stem.y": "half.y", "half.y": "fc.y"})
    found = accumulate(other, graph, x)
    assert found.left_out == ("stem.y/float", "half.y/float")
    layers = [c.layer for c in found.tensors]
    assert "fc" in layers and "stem" not in layers and "half" not in layers
    aligned = matched(other, graph)
    assert aligned.outputs == ("stem.y",) and aligned.shapes["stem.y"] == graph.shapes["fc.y"]
    taken = Tensor("stem.y/float", (1, 1, 1), other.tensors["x"].fmt)
    assert "stem.y/float_" in matched(replace(other, tensors=other.tensors | {taken.name: taken}), graph).shapes


def test_everything_that_names_a_tensor_follows():
    sigmoid = HostOperation("Sigmoid")
    graph = branches(results=(("fc.y", sigmoid),), output_shapes={"fc.y": (10,)}, source={"fc.y": "file"})
    graph = replace(graph, places={"fc.y": np.arange(10)})
    network = renamed_network(quantize_network(graph, images(4), effort="fast"), {"fc.y": "d"})
    aligned = matched(network, graph)
    assert aligned.results == (("d", sigmoid),) and aligned.output_shapes == {"d": (10,)}
    assert aligned.source == {"d": "file"}
    assert list(aligned.places) == ["d"] and aligned.layers[-1].output == "d"
    for layer in graph.layers:
        names = {name: f"new {name}" for name in graph.shapes}
        changed = layer.renamed(names)
        assert changed.inputs == tuple(names[name] for name in layer.inputs) and changed.output == names[layer.output]


def test_networks_that_cannot_be_matched_are_refused():
    graph = two_outputs()
    network = quantize_network(graph, images(4), effort="fast")
    with pytest.raises(BadInput, match="^net has 1 outputs, the float network 2$"):
        accuracy(replace(network, outputs=network.outputs[:1]), graph, images(2))
    fewer = replace(network, outputs=(network.outputs[0], "one.y"))
    text = "net: output one.y is (4, 12, 12), but output right.y of the float network (3, 12, 12)"
    with pytest.raises(BadInput, match=re.escape(text)):
        accumulate(fewer, graph, images(2))
    larger = replace(graph, shapes=graph.shapes | {"x": (3, 13, 12)})
    with pytest.raises(
        BadInput, match=r"^net: input x is \(3, 12, 12\), but input x of the float network \(3, 13, 12\)$"
    ):
        dump_tensors(network, larger, images(2))
