"""Integer networks for the tests of quantized files, and the check that a file holds one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import onnx

from quant import qdq
from quant.ir.fixedpoint import QFormat
from quant.ir.inputs import together
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.run.execute import execute, quantize_input

S8, U8 = QFormat(8, 4), QFormat(8, 4, signed=False)


def assert_same(one: Any, other: Any, where: str = "network") -> None:
    """Equal in every field, arrays in type too."""
    assert type(one) is type(other), where
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and np.array_equal(one, other), where
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for place, (part, counterpart) in enumerate(zip(one, other, strict=True)):
            assert_same(part, counterpart, f"{where}[{place}]")
    else:
        assert one == other, where


class Net:
    """Builds an integer network; each method returns the new tensor's name."""

    def __init__(self, shape: tuple[int, int, int], fmt: QFormat, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors = {"x": Tensor("x", shape, fmt)}
        self.layers: list[Layer] = []
        self.inputs: tuple[str, ...] = ("x",)

    def input(self, name: str, shape: tuple[int, int, int], fmt: QFormat) -> str:
        """Another input."""
        self.tensors[name] = Tensor(name, shape, fmt)
        self.inputs = (*self.inputs, name)
        return name

    def put(self, make: Callable[[str], Layer], shape: tuple[int, ...], fmt: QFormat) -> str:
        name = f"t{len(self.layers)}"
        self.layers.append(make(name))
        self.tensors[name] = Tensor(name, (shape[0], shape[1], shape[2]), fmt)
        return name

    def clip(self, fmt: QFormat, clip: tuple[int, int] | None) -> tuple[int, int]:
        return (fmt.low, fmt.high) if clip is None else clip

    def conv(
        self,
        x: str,
        out: int,
        fmt: QFormat,
        *,
        window: Window = Window(),  # noqa: B008  frozen
        groups: int = 1,
        bits: int = 8,
        clip: tuple[int, int] | None = None,
        residual: str | None = None,
    ) -> str:
        channels, height, width = self.tensors[x].shape
        size = (out, channels // groups, *window.kernel)
        half = 1 << (bits - 1)
        needed = 0 if residual is None else max(0, self.tensors[residual].fmt.frac - self.tensors[x].fmt.frac)
        frac = self.random.integers(needed, needed + 5, out)
        bias = self.random.integers(-1000, 1000, out)
        weight = self.random.integers(-half, half, size).astype(QFormat(bits, 0).dtype)
        return self.put(
            lambda name: Conv(f"conv_{name}", x, name, weight, frac, bits, bias, window, groups,
                              self.clip(fmt, clip), residual),
            (out, *window.output_size(height, width)), fmt,
        )  # fmt: skip

    def gemm(self, x: str, out: int, fmt: QFormat, **options: Any) -> str:
        name = self.conv(x, out, fmt, window=Window(self.tensors[x].shape[1:]), **options)
        self.layers[-1] = dataclasses.replace(self.layers[-1], op="Gemm")  # type: ignore[arg-type,call-arg]
        return name

    def pool(
        self,
        x: str,
        kind: Literal["max", "average"],
        window: Window,
        fmt: QFormat | None = None,
        include: bool = True,
        clip: tuple[int, int] | None = None,
    ) -> str:
        tensor = self.tensors[x]
        fmt = fmt or tensor.fmt
        shape = (tensor.shape[0], *window.output_size(*tensor.shape[1:]))
        return self.put(
            lambda name: Pool(f"pool_{name}", x, name, kind, window, self.clip(fmt, clip), include), shape, fmt
        )

    def add(self, one: str, other: str, fmt: QFormat, clip: tuple[int, int] | None = None) -> str:
        shape = self.tensors[one].shape
        return self.put(lambda name: Add(f"add_{name}", (one, other), name, self.clip(fmt, clip)), shape, fmt)

    def concat(self, *parts: str) -> str:
        first = self.tensors[parts[0]]
        channels = sum(self.tensors[part].shape[0] for part in parts)
        return self.put(lambda name: Concat(f"concat_{name}", parts, name), (channels, *first.shape[1:]), first.fmt)

    def network(self, *outputs: str, **fields: Any) -> Network:
        shapes = {name: self.own(name) for name in outputs} | fields.pop("output_shapes", {})
        return Network("net", self.tensors, tuple(self.layers), self.inputs, outputs, output_shapes=shapes, **fields)

    def own(self, name: str) -> tuple[int, ...]:
        layer = next(layer for layer in self.layers if layer.output == name)
        shape = self.tensors[name].shape
        return shape[:1] if isinstance(layer, Conv) and layer.op == "Gemm" else shape


def images(network: Network, count: int = 3, seed: int = 0) -> np.ndarray:
    """Real images of the input that reach beyond its format and lie on ties of its rounding."""
    [found] = inputs(network, count, seed).values()
    return found


def inputs(network: Network, count: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """As `images`, of each input."""
    random, found = np.random.default_rng(seed), {}
    for name in network.inputs:
        tensor = network.tensors[name]
        units = random.uniform(2.5 * tensor.fmt.low - 2, 2.5 * tensor.fmt.high, (count, *tensor.shape))
        found[name] = np.ldexp(np.rint(units) / 2, -tensor.fmt.frac).astype(np.float32)
    return found


def check(network: Network) -> onnx.ModelProto:
    """Write, read back, run in ONNX Runtime; returns the model."""
    model = qdq.to_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert_same(qdq.load(model), network)
    x = together(inputs(network))
    ours = execute(network, quantize_input(network, x), keep=network.tensors)
    theirs = qdq.run_layers(model, x, batch=2)
    assert list(theirs) == [*network.inputs, *(layer.output for layer in network.layers)]
    for name, integers in theirs.items():
        assert integers.dtype == np.int64
        np.testing.assert_array_equal(integers, ours[name], err_msg=name)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    """The operators apart from QuantizeLinear and DequantizeLinear."""
    return [node.op_type for node in model.graph.node if "quantize" not in node.op_type.lower()]
