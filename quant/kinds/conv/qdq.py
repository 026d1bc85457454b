"""A convolution in a quantized file: Conv or Gemm, its weight and bias from integers, and Add for the residual."""

from __future__ import annotations

import numpy as np

from quant.base.errors import BadInput
from quant.ir.writing import QdqNodes, WideNodes
from quant.kinds.conv.form import ConvForm
from quant.onnx_file import form


class ConvQdq(ConvForm):
    """A convolution that writes itself into a quantized file."""

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`: a Gemm is of flattened maps.

        Raises BadInput for a bias beyond int32, and for scales that float32 has not.
        """
        rank = 2 if self.op == "Gemm" else 4
        inputs = [nodes.read(self.input, rank), self._write_weight(nodes), self._write_bias(nodes)]
        name = output if self.residual is None else f"{self.output}_convolved"
        if self.op == "Gemm":
            real = nodes.node("Gemm", inputs, name, self.name, transB=1)
        else:
            real = nodes.node("Conv", inputs, name, self.name, group=self.groups, **self.window.attributes)
        if self.residual is not None:
            nodes.node("Add", [real, nodes.read(self.residual, rank)], output, f"{self.name}/add")
        return rank

    def _write_weight(self, nodes: QdqNodes) -> str:
        name, what = f"{self.name}.weight", f"the weight of layer {self.name}"
        kind = form.stored_type(self.weight_bits, True, what)
        if self.weight_bits != form.stored_bits(kind):
            nodes.state_weight_bits(self.name, self.weight_bits)
        weight = self.weight.reshape(len(self.weight), -1) if self.op == "Gemm" else self.weight
        integers = nodes.constant(f"{name}{form.QUANTIZED}", weight.astype(form.STORED[kind][2]))
        scale = nodes.constant(f"{name}_scale", scales(self.weight_frac, what))
        return nodes.node("DequantizeLinear", [integers, scale], name, f"{name}/dequantize", axis=0)

    def _write_bias(self, nodes: QdqNodes) -> str:
        name, bias = f"{self.name}.bias", np.asarray(self.bias, np.int64)
        if bias.min() < -(2**31) or bias.max() >= 2**31:
            worst = int(bias[np.abs(bias).argmax()])
            raise BadInput(f"layer {self.name}: the bias {worst} does not fit the int32 of a quantized file")
        integers = nodes.constant(f"{name}{form.QUANTIZED}", bias.astype(np.int32))
        fracs = nodes.tensors[self.input].fmt.frac + self.weight_frac
        scale = nodes.constant(f"{name}_scale", scales(fracs, f"the bias of layer {self.name}"))
        return nodes.node("DequantizeLinear", [integers, scale], name, f"{name}/dequantize", axis=0)

    def write_wide(self, nodes: WideNodes, inputs: list[str], output: str) -> bool:
        """As `Layer.write_wide`: the matrix product that a Conv is."""
        if self.op == "Gemm":
            return False
        outputs, (_, height, width), terms = len(self.weight), nodes.tensors[self.output].shape, self.weight[0].size
        windows = nodes.windows(inputs[0], output, nodes.tensors[self.input].shape, self.window)
        columns = nodes.shaped(windows, f"{output}_columns", 0, self.groups, terms, height * width)
        weight = nodes.shaped(nodes.double(inputs[1]), f"{output}_weight", self.groups, outputs // self.groups, terms)
        product = nodes.node("MatMul", [weight, columns], f"{output}_product")
        if len(inputs) < 3:
            nodes.shaped(product, output, 0, outputs, height, width)
            return True
        product = nodes.shaped(product, f"{output}_unbiased", 0, outputs, height, width)
        offset = nodes.shaped(nodes.bias(inputs[2], output), f"{output}_offset", outputs, 1, 1)
        nodes.node("Add", [product, offset], output)
        return True


def scales(fracs: np.ndarray, what: str) -> np.ndarray:
    """2**-frac for each channel, float32 (O,)."""
    return np.array([form.power_of_two(int(frac), what) for frac in fracs], np.float32)
