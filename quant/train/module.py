"""A float graph as a PyTorch module: any that imports, since every kind writes its own operators.

Their weights are what training changes.  What a layer's weights may be is a module of its own, the layer's `source`:
any numbers (`Free`), or what stands in `masks.py`, `shared.py` and `ternary.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper

from quant.base.errors import UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.kinds.conv import FloatConv, float_convolution, float_convolutions
from quant.onnx_file.nodes import attributes
from quant.run.float_onnx import LayerNodes
from quant.train.operators import NUMBERS, OPERATORS


class Free(torch.nn.Module):
    """Weights that may be any numbers.  values: of any shape."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.from_numpy(values.copy()))

    def forward(self) -> torch.Tensor:
        """The weights."""
        return self.values


class Weights(torch.nn.Module):
    """What a convolution or fully connected layer has: `bias`, a parameter, and the `source` of its weights."""

    def __init__(self, layer: FloatConv) -> None:
        super().__init__()
        self.source: Any = Free(layer.weight)
        self.bias = torch.nn.Parameter(torch.from_numpy(layer.bias.copy()))

    def numbers(self) -> np.ndarray:
        """The weights as they are, float32 of the layer's shape."""
        with torch.no_grad():
            values: np.ndarray = self.source().float().cpu().numpy().copy()
        return values


@dataclass(frozen=True)
class _Step:
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class GraphModule(torch.nn.Module):
    """The graph; `layers` has the weights by the layers' names.

    Raises UnsupportedNetwork for an operator that `quant.train.operators` has not.
    """

    def __init__(self, graph: FloatGraph) -> None:
        super().__init__()
        self.graph = graph
        convolutions = float_convolutions(graph.layers)
        self.weights = torch.nn.ModuleList(Weights(layer) for layer in convolutions)
        self.layers: dict[str, Weights] = {
            layer.name: held for layer, held in zip(convolutions, self.weights, strict=True)
        }
        self._steps: list[_Step] = []
        self._constants: dict[str, str] = {}
        self._numbers: dict[str, list[float]] = {}
        self._of_layers: dict[str, tuple[Weights, str]] = {}
        for layer in graph.layers:
            self._write(layer)
        last = {name: index for index, step in enumerate(self._steps) for name in step.inputs}
        self._done: list[list[str]] = [[] for _ in self._steps]
        for name, index in last.items():
            self._done[index].append(name)

    def _write(self, layer: Any) -> None:
        nodes = LayerNodes(layer)
        nodes.write()
        held = self.layers[layer.name] if float_convolution(layer) else None
        numbers = {node.input[place] for node in nodes.nodes for place in NUMBERS.get(node.op_type, ())}
        for constant in nodes.constants:
            role = constant.name.removeprefix(f"{layer.output}/")
            if held is not None and role in ("weight", "bias"):
                self._of_layers[constant.name] = held, role
            elif constant.name in numbers:
                self._numbers[constant.name] = numpy_helper.to_array(constant).tolist()
            else:
                self._constants[constant.name] = f"constant{len(self._constants)}"  # no dots in a buffer's name
                values = torch.from_numpy(numpy_helper.to_array(constant).copy())
                self.register_buffer(self._constants[constant.name], values, persistent=False)
        for node in nodes.nodes:
            if node.op_type not in OPERATORS:
                raise UnsupportedNetwork(f"layer {layer.name}: there is no {node.op_type} to train with")
            step = _Step(OPERATORS[node.op_type], tuple(node.input), node.output[0], attributes(node))
            self._steps.append(step)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The network's first output, flattened: (N, elements).  images: (N, C, H, W)."""
        output = self.graph.outputs[0]
        return self.tensors(images, [output])[output].flatten(1)

    def tensors(self, images: torch.Tensor, names: Collection[str]) -> dict[str, torch.Tensor]:
        """Tensors by name, (N, C, H, W).  images: (N, C, H, W)."""
        values: dict[str, Any] = {"": None, self.graph.inputs[0]: images, **self._numbers}
        values |= {name: getattr(self, attribute) for name, attribute in self._constants.items()}
        for name, (held, role) in self._of_layers.items():
            values[name] = held.source() if role == "weight" else held.bias
        for step, done in zip(self._steps, self._done, strict=True):
            values[step.output] = step.function(*(values[name] for name in step.inputs), **step.attributes)
            for name in done:
                if name and name not in names:
                    del values[name]
        return {name: values[name] for name in names}

    def begin(self, biases: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray] | None = None) -> None:
        """Give layers other biases, float32 (O,), and weights that may be any numbers, by name."""
        for name, bias in biases.items():
            with torch.no_grad():
                self.layers[name].bias.copy_(torch.from_numpy(bias))
        for name, values in (weights or {}).items():
            self.layers[name].source = Free(values)

    def trained(self) -> FloatGraph:
        """The graph with the weights and biases that they have now."""
        return replace(self.graph, layers=tuple(map(self._trained, self.graph.layers)))

    def _trained(self, layer: Any) -> Any:
        conv = float_convolution(layer)
        if conv is None:
            return layer
        held = self.layers[conv.name]
        return replace(conv, weight=held.numbers(), bias=held.bias.detach().float().cpu().numpy().copy())

    def convolutions(self) -> Iterator[FloatConv]:
        """The layers with the weights that they have now."""
        return (self._trained(layer) for layer in float_convolutions(self.graph.layers))
