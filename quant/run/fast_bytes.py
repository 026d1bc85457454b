"""Layers of an integer network as ONNX operators on bytes, among those in float32 of `quant.run.fast_onnx`.

A tensor's integers stand as uint8, those of a signed format plus 128, which is the zero point.  A
QLinearConv sums in int32, converts the sum to float32, exactly below 2**24, multiplies by the scale 2**-shift, rounds
half to even and saturates.  It is exact where the processor's products of bytes are, which `quant.run.fast_kernels`
finds out.  A layer with a residual or with data of more than 8 bits runs in float32 among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.onnx_file.weights import Beside
from quant.run.fast_onnx import FloatWriter

OPSET, IR_VERSION = 19, 9


def fits_bytes(fmt: QFormat) -> bool:
    """Whether a tensor can stand as uint8."""
    return fmt.bits <= 8


def zero_point(fmt: QFormat) -> int:
    """What is added to the integers of a format in bytes."""
    return 128 if fmt.signed else 0


def fast_model(
    network: Network,
    layers: Sequence[Layer],
    sources: Iterable[str],
    outputs: Collection[str],
    in_bytes: bool,
    beside: Beside | None = None,
) -> onnx.ModelProto:
    """Some layers as an ONNX model.

    sources: tensors that the layers read from outside; outputs: tensors to return, all under their own names,
    (N, C, H, W).  in_bytes: whether tensors of at most 8 bits stand as uint8, and with them those of `sources`
    and `outputs`; all others stand as float32.  beside: as of `quant.run.float_onnx.float_model`.
    """
    writer = (ByteWriter if in_bytes else FloatWriter)(network, beside)

    def value(name: str) -> onnx.ValueInfoProto:
        tensor = network.tensors[name]
        kind = TensorProto.UINT8 if in_bytes and fits_bytes(tensor.fmt) else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, ["N", *tensor.shape])

    for layer in layers:
        layer.write_exact(writer)
    graph = helper.make_graph(
        nodes=writer.nodes,
        name=network.name or "network",
        inputs=[value(s) for s in sources],
        outputs=[value(o) for o in outputs],
        initializer=list(writer.constants.values()),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class ByteWriter(FloatWriter):
    """The growing graph, tensors of at most 8 bits uint8, others float32."""

    def in_bytes(self, *tensors: str) -> bool:
        """As `ExactNodes.in_bytes`."""
        return all(fits_bytes(self.fmt(name)) for name in tensors)

    def limits(self, clip: tuple[int, int], name: str) -> list[str]:
        """As in float32, of a tensor as it stands."""
        zero = zero_point(self.fmt(name))
        return [
            self.constant(f"byte{bound + zero}", bound + zero, np.uint8)
            if fits_bytes(self.fmt(name))
            else self.constant(f"real{bound}", bound)
            for bound in clip
        ]

    def real(self, tensor: str, shift: int = 0) -> str:
        """As in float32; bytes are converted."""
        if not fits_bytes(self.fmt(tensor)):
            return super().real(tensor, shift)
        name = f"{tensor}/real{shift}"
        if name not in self.made:
            self.node("DequantizeLinear", [tensor, self.scale(shift), self.zero(tensor)], name)
        return name

    def before(self, name: str) -> str:
        """As in float32."""
        return f"{name}/float" if fits_bytes(self.fmt(name)) else name

    def whole(self, source: str, name: str) -> None:
        """As in float32; to bytes where they fit."""
        if fits_bytes(self.fmt(name)):
            self.rounded(source, name)

    def rounded(self, source: str, name: str) -> None:
        """As in float32; to bytes where they fit."""
        if fits_bytes(self.fmt(name)):
            self.node("QuantizeLinear", [source, self.scale(0), self.zero(name)], name)
        else:
            super().rounded(source, name)

    def standing(self, tensor: str) -> tuple[int, Any]:
        """As in float32, or uint8 after the zero point is added."""
        fmt = self.fmt(tensor)
        return (zero_point(fmt), np.uint8) if fits_bytes(fmt) else super().standing(tensor)

    def scale(self, shift: int) -> str:
        """2**shift."""
        return self.constant(f"two{shift}", np.ldexp(1.0, shift))

    def zero(self, tensor: str) -> str:
        """The zero point of a tensor."""
        zero = zero_point(self.fmt(tensor))
        return self.constant(f"byte{zero}", zero, np.uint8)
