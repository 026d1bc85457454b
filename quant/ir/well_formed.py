"""The verifier of networks, in integers and in float: it runs after each pass, and names what a pass did wrong.

Names: every layer and every tensor has one of its own.  Order: a layer reads what stands before it, and every tensor
is written once.  Shapes: each layer's by its kind's rule.  Formats and numbers: each kind's own (`Layer.check`,
`check_numbers`).  Outputs exist, in shapes of as many elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from weakref import WeakSet

from quant.ir.graph import FloatGraph
from quant.ir.layer import AnyLayer
from quant.ir.network import Network
from quant.ir.tensor import MOST_ELEMENTS, Shape

Form = TypeVar("Form", Network, FloatGraph)


class Malformed(ValueError):
    """A network that contradicts itself: a mistake of the pass that made it, not of the user."""


_seen: WeakSet[AnyLayer] = WeakSet()
"""Layers whose numbers were found good: nobody changes them, and there are many."""


def well_formed(network: Form) -> Form:
    """The network, found well formed.  Raises Malformed, naming layer and reason, in one line."""
    shapes = _shapes(network)
    _check_tensors(network, shapes)
    names: set[str] = set()
    written = set(network.inputs)
    for layer in network.layers:
        with _naming(layer):
            _check_layer(layer, names, written, shapes)
        names.add(layer.name)
        written.add(layer.output)
    if isinstance(network, Network):
        for integer_layer in network.layers:
            with _naming(integer_layer):
                integer_layer.check(network.tensors)
    _check_outputs(network, shapes)
    return network


@contextmanager
def _naming(layer: AnyLayer) -> Iterator[None]:
    """A reason becomes a message that names the layer."""
    try:
        yield
    except ValueError as error:
        raise Malformed(f"layer {layer.name or '(without a name)'}: {error}") from error


def _shapes(network: Network | FloatGraph) -> Mapping[str, Shape]:
    if isinstance(network, FloatGraph):
        return network.shapes
    return {name: tensor.shape for name, tensor in network.tensors.items()}


def _check_tensors(network: Network | FloatGraph, shapes: Mapping[str, Shape]) -> None:
    for name in network.inputs:
        if name not in shapes:
            raise Malformed(f"the input {name} is no tensor")
    if not network.inputs or len(set(network.inputs)) < len(network.inputs):
        raise Malformed(f"the inputs are {', '.join(network.inputs) or 'none'}")
    if isinstance(network, Network):
        for name, tensor in network.tensors.items():
            if tensor.name != name:
                raise Malformed(f"tensor {name} is called {tensor.name}")
    for name, shape in shapes.items():
        if not name:
            raise Malformed("a tensor has no name")
        if len(shape) != 3 or min(shape) < 1:
            raise Malformed(f"tensor {name} has the shape {shape}")
        if math.prod(shape) > MOST_ELEMENTS:
            raise Malformed(f"tensor {name} has the shape {shape}, more than {MOST_ELEMENTS:,} elements")


def _check_layer(layer: AnyLayer, names: set[str], written: set[str], shapes: Mapping[str, Shape]) -> None:
    """Raises ValueError for a layer that does not follow from those before it."""
    if not layer.name:
        raise ValueError("has no name")
    if layer.name in names:
        raise ValueError("another layer has that name")
    if layer.output in written:
        raise ValueError(f"writes {layer.output}, which is written already")
    if layer.output not in shapes:
        raise ValueError(f"writes {layer.output}, which is no tensor of the network")
    if not layer.inputs:
        raise ValueError("reads nothing")
    for name in layer.inputs:
        if name not in written:
            raise ValueError(f"reads {name}, which nothing before it writes")
    if layer not in _seen:
        layer.check_numbers()
        _seen.add(layer)
    shape = layer.output_shape(shapes)
    if shape != shapes[layer.output]:
        raise ValueError(f"gives {layer.output} the shape {shape}, the network {shapes[layer.output]}")


def _check_outputs(network: Network | FloatGraph, shapes: Mapping[str, Shape]) -> None:
    for name in network.outputs:
        if name not in shapes:
            raise Malformed(f"output {name} is no tensor of the network")
    for name, operation in network.results:
        if name not in network.outputs:
            what = operation.op if operation else "a result"
            raise Malformed(f"{what} is made of {name}, which is no output")
    if network.results and {name for name, _ in network.results} != set(network.outputs):
        raise Malformed("an output belongs to no result")
    if network.tail is not None and (network.tail.inputs != network.outputs or network.results):
        raise Malformed("the tail reads other tensors than the outputs")
    for name, own in network.output_shapes.items():
        if name not in network.outputs:
            raise Malformed(f"output_shapes names {name}, which is no output")
        if math.prod(own) != math.prod(shapes[name]):
            raise Malformed(f"output {name} of {shapes[name]} cannot have the shape {own}")
