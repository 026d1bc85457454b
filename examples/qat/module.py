"""A network that trains as it will run: the float graph's layers in PyTorch, with the quantizer's formats.

Every weight, every bias and every tensor between two layers passes through fake quantization, so the forward pass
is the integer network's arithmetic.  Weights and biases are parameters; the formats are fixed: those that
shiftpoint's quantizer chose for the float network.
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.qat.fake import fake_quantize, integers
from quant.ir.graph import FloatGraph
from quant.ir.layer import Clip, FloatLayer
from quant.ir.network import Network
from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv, FloatConv, convolution, float_convolution
from quant.kinds.pool import FloatPool

BIAS_LIMIT = (1 << 31) - 1
INSIDE = 0.45  # how far from its integer, in units of it, a weight may start


class FloatConvolution(nn.Module):
    """A convolution or fully connected layer.  weight: (O, I / groups, KH, KW); bias: (O,)."""

    def __init__(self, layer: FloatConv) -> None:
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(torch.tensor(layer.weight))
        self.bias = nn.Parameter(torch.tensor(layer.bias))

    def used(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as the forward pass takes them."""
        return self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        """The sums, before anything is added or rounded: (N, O, H, W)."""
        window = self.layer.window
        x = pad(x, window.pads, 0.0)
        return functional.conv2d(x, *self.used(), window.stride, 0, window.dilation, self.layer.groups)


class QuantizedConv(FloatConvolution):
    """The same with fake-quantized weight and bias.

    weight_frac: (O,), a fractional length for each output channel.  The bias is in multiples of
    2**-(input_frac + weight_frac), the unit of the sum that it is added to.
    Training starts at the quantizer's own integers: from the float weights, each moved no further than it takes to
    be rounded to its integer, and from the quantizer's biases.
    """

    def __init__(self, layer: FloatConv, quantized: Conv, input_frac: int) -> None:
        super().__init__(layer)
        self.bits = quantized.weight_bits
        weight_frac = torch.tensor(quantized.weight_frac, dtype=torch.float32)
        self.register_buffer("weight_frac", weight_frac.view(-1, 1, 1, 1))
        self.register_buffer("bias_frac", weight_frac + input_frac)
        with torch.no_grad():
            chosen = torch.tensor(quantized.weight, dtype=torch.float32)
            scaled = (self.weight * torch.exp2(self.weight_frac)).clamp(chosen - INSIDE, chosen + INSIDE)
            self.weight.copy_(scaled * torch.exp2(-self.weight_frac))
            self.bias.copy_(torch.tensor(quantized.bias) * torch.exp2(-self.bias_frac))

    @property
    def weight_limits(self) -> tuple[int, int]:
        """The smallest and the largest integer of a weight."""
        return -(1 << self.bits - 1), (1 << self.bits - 1) - 1

    def used(self) -> tuple[Tensor, Tensor]:
        """Weight and bias rounded: the sums are exact."""
        return (
            fake_quantize(self.weight, self.weight_frac, *self.weight_limits),
            fake_quantize(self.bias, self.bias_frac, -BIAS_LIMIT, BIAS_LIMIT),
        )

    def parameters_as_integers(self) -> dict[str, Tensor]:
        """What the device holds: weight and bias as integers, and the fractional lengths of both, (O,)."""
        with torch.no_grad():
            return {
                "weight": integers(self.weight, self.weight_frac, *self.weight_limits).long(),
                "weight_frac": self.weight_frac.flatten().long(),
                "bias": integers(self.bias.double(), self.bias_frac.double(), -BIAS_LIMIT, BIAS_LIMIT).long(),
                "bias_frac": self.bias_frac.long(),
            }


class FloatNet(nn.Module):
    """The float graph: convolutions, poolings, additions and concatenations.

    Raises ValueError for a layer of another kind.
    """

    def __init__(self, graph: FloatGraph) -> None:
        super().__init__()
        self.graph = graph
        self.convolutions = nn.ModuleDict()
        for layer in graph.layers:
            if conv := float_convolution(layer):
                self.convolutions[key(conv)] = FloatConvolution(conv)

    def stored(self, x: Tensor, _: str) -> Tensor:
        """What is kept of `x` in the tensor of that name."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """The first output, (N, O), of preprocessed images (N, C, H, W)."""
        [source] = self.graph.inputs
        values = {source: self.stored(x, source)}
        for layer in self.graph.layers:
            result = clipped(self.computed(layer, [values[name] for name in layer.inputs]), layer.clip)
            values[layer.output] = self.stored(result, layer.output)
        return values[self.graph.outputs[0]].flatten(1)

    def computed(self, layer: FloatLayer, inputs: list[Tensor]) -> Tensor:
        """One layer's result before its clip and its rounding."""
        if conv := float_convolution(layer):
            return sum(inputs[1:], self.convolutions[key(conv)](inputs[0]))
        return unweighted(layer, inputs)


class QuantizedNet(FloatNet):
    """The float graph with the formats of its quantized network.

    network: `graph` quantized without free scales (`equalization=None`), so that every tensor holds the float
    network's own values.
    """

    def __init__(self, graph: FloatGraph, network: Network) -> None:
        super().__init__(graph)
        self.formats = {name: tensor.fmt for name, tensor in network.tensors.items()}
        for layer in network.layers:
            if conv := convolution(layer):
                own = self.convolutions[key(conv)].layer
                self.convolutions[key(conv)] = QuantizedConv(own, conv, self.formats[conv.input].frac)

    def stored(self, x: Tensor, name: str) -> Tensor:
        """`x` in the format of the tensor of that name."""
        fmt = self.formats[name]
        return fake_quantize(x, fmt.frac, fmt.low, fmt.high)


def key(layer: FloatConv | Conv) -> str:
    """A layer's name as PyTorch allows it for a module."""
    return layer.name.replace(".", "/")


@singledispatch
def unweighted(layer: FloatLayer, inputs: list[Tensor]) -> Tensor:
    """The result of a layer without weights; each kind that is trained here registers its own."""
    raise ValueError(f"layer {layer.name}: a {layer.operator} is not trained here")


@unweighted.register
def added(layer: FloatAdd, inputs: list[Tensor]) -> Tensor:
    """The sum of two tensors."""
    return inputs[0] + inputs[1]


@unweighted.register
def joined(layer: Concat, inputs: list[Tensor]) -> Tensor:
    """Tensors one behind the other, by channels."""
    return torch.cat(inputs, 1)


@unweighted.register
def pooled(layer: FloatPool, inputs: list[Tensor]) -> Tensor:
    """Max or average pooling."""
    x, window = inputs[0], layer.window
    if layer.kind == "max":
        return functional.max_pool2d(pad(x, window.pads, -torch.inf), window.kernel, window.stride, 0, window.dilation)
    if any(window.pads) and not layer.count_include_pad:
        raise ValueError(f"layer {layer.name}: an average that leaves out padding is not trained here")
    return functional.avg_pool2d(pad(x, window.pads, 0.0), window.kernel, window.stride)


def pad(x: Tensor, pads: tuple[int, int, int, int], value: float) -> Tensor:
    """`x` with (top, left, bottom, right) more rows and columns of `value`."""
    top, left, bottom, right = pads
    return functional.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def clipped(x: Tensor, clip: Clip) -> Tensor:
    """`x` limited to a clip's bounds."""
    return x if clip == (None, None) else x.clamp(*clip)
