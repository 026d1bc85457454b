"""Every operator that a float layer writes, against ONNX Runtime."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from quant import kinds
from quant.ir.functions import OPERATORS as FUNCTIONS
from quant.ir.functions import X, apply, constant
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.depth_to_space import DepthToSpace, Mode
from quant.kinds.edge_pad import EdgePad
from quant.kinds.multiply import FloatMultiply
from quant.kinds.pool import FloatPool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.run.float_run import FloatRunner
from quant.train.module import GraphModule
from quant.train.operators import OPERATORS
from tests.quant.float_graphs import Builder


def agree(graph: FloatGraph, images: np.ndarray) -> None:
    """Every tensor within 1e-4 of ONNX Runtime's, by its largest value."""
    names = [layer.output for layer in graph.layers]
    with torch.no_grad():
        found = GraphModule(graph).tensors(torch.from_numpy(images), names)
    for _, wanted in FloatRunner(graph).run(images):
        for name in names:
            scale = max(1.0, float(np.abs(wanted[name]).max()))
            np.testing.assert_allclose(found[name].numpy() / scale, wanted[name] / scale, atol=1e-4, err_msg=name)


def written() -> set[str]:
    """The operators that kinds name where they write themselves as float."""
    found = set()
    for path in Path(kinds.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name == "write_float":
                calls = [call for call in ast.walk(function) if isinstance(call, ast.Call) and call.args]
                named = [call.args[0] for call in calls if ast.unparse(call.func) == "nodes.node"]
                found |= {str(first.value) for first in named if isinstance(first, ast.Constant)}
    return found


def test_all_are_there() -> None:
    assert {"Conv", "Gemm", "MaxPool", "Concat"} <= written()
    assert written() | set(FUNCTIONS) | {"Relu", "Clip"} == set(OPERATORS)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("window", [Window((3, 2), (2, 1), (1, 0, 2, 1)), Window((2, 3), (1, 2), (1, 1, 1, 1), (3, 2))])
@pytest.mark.parametrize("include", [True, False])
def test_pools(rng: np.random.Generator, kind: str, window: Window, include: bool) -> None:
    layer = FloatPool("p", "x", "y", kind, window, count_include_pad=include)  # type: ignore[arg-type]
    shapes = {"x": (3, 9, 8), "y": (3, *window.output_size(9, 8))}
    if not include and window.dilation != (1, 1):
        layer = FloatPool("p", "x", "y", kind, Window(window.kernel, window.stride, (0,) * 4, window.dilation))  # type: ignore[arg-type]
        shapes["y"] = layer.output_shape(shapes)
    agree(FloatGraph("net", (layer,), shapes, ("x",), ("y",)), rng.normal(size=(2, 3, 9, 8)).astype(np.float32))


@pytest.mark.parametrize("window", [Window((3, 2), (2, 1), (1, 0, 2, 1)), Window((2, 3), (1, 2), (1, 1, 1, 1), (3, 2))])
@pytest.mark.parametrize("clip", [(None, None), (0, None), (0, 6), (None, 0.5), (-1, None)])
def test_convolutions(rng: np.random.Generator, window: Window, clip: tuple[float | None, float | None]) -> None:
    net = Builder(0, 4, 10)
    other = net.conv("o", "x", 6, window, groups=2)
    agree(net.graph(net.conv("c", "x", 6, window, clip, other)), rng.normal(size=(2, 4, 10, 10)).astype(np.float32))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_a_kernel_as_large_as_its_map(rng: np.random.Generator, groups: int, pads: tuple[int, int, int, int]) -> None:
    net = Builder(0, 4, 5)
    graph = net.graph(net.conv("c", "x", 6, Window((5, 5), (1, 1), pads), groups=groups))
    agree(graph, rng.normal(size=(3, 4, 5, 5)).astype(np.float32))


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_functions(rng: np.random.Generator, op: str) -> None:
    """Also of two arguments, the other a number."""
    binary = op in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
    function = apply(op, X, constant(3.0)) if binary else apply(op, X)
    layer = FloatTable("t", "x", "y", function)
    agree(
        FloatGraph("net", (layer,), {"x": (3, 5, 4), "y": (3, 5, 4)}, ("x",), ("y",)),
        rng.normal(0, 3, (2, 3, 5, 4)).astype(np.float32),
    )


def test_copies_and_products(rng: np.random.Generator) -> None:
    layers = (Resize("r", "x", "y", (2, 3)), FloatMultiply("m", ("y", "y"), "z"))
    shapes = {"x": (3, 5, 4), "y": (3, 10, 12), "z": (3, 10, 12)}
    agree(FloatGraph("net", layers, shapes, ("x",), ("z",)), rng.normal(size=(2, 3, 5, 4)).astype(np.float32))


def test_what_is_around_a_map(rng: np.random.Generator) -> None:
    values = rng.normal(size=3).astype(np.float32)
    layers = (EdgePad("e", "x", "y", (1, 2, 0, 3), "reflect"), ConstantPad("c", "y", "z", (0, 1, 2, 0), values))
    shapes = {"x": (3, 5, 4), "y": (3, 6, 9), "z": (3, 8, 10)}
    agree(FloatGraph("net", layers, shapes, ("x",), ("z",)), rng.normal(size=(2, 3, 5, 4)).astype(np.float32))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_blocks_and_edges(rng: np.random.Generator, mode: Mode) -> None:
    layers = (EdgePad("e", "x", "y", (1, 2, 0, 3)), DepthToSpace("d", "y", "z", 3, mode))
    shapes = {"x": (18, 5, 4), "y": (18, 6, 9), "z": (2, 18, 27)}
    agree(FloatGraph("net", layers, shapes, ("x",), ("z",)), rng.normal(size=(2, 18, 5, 4)).astype(np.float32))
