"""Small ONNX networks for tests, made with fixed seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_cnn(
    path: Path, *, planes: int = 2, channels: int = 4, size: tuple[int | str, int | str] = (8, 8), kernel: int = 3,
    nan: bool = False, extra: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """conv, ReLU, max pooling, fully connected; `extra` operators follow the ReLU, whether supported or not."""
    random = np.random.default_rng(7)
    weight = random.normal(0, 0.3, (channels, planes, kernel, kernel)).astype(np.float32)
    if nan:
        weight[0, 0, 0, 0] = np.nan
    constants = {"w": weight, "b": random.normal(0, 0.1, channels).astype(np.float32)}
    pad = kernel // 2
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["c"], name="conv", pads=[pad] * 4, kernel_shape=[kernel] * 2),
        helper.make_node("Relu", ["c"], ["r0"], name="relu"),
    ]
    for i, op in enumerate(extra):
        nodes.append(helper.make_node(op, [f"r{i}"], [f"r{i + 1}"], name=f"{op.lower()}_{i}"))
    nodes.append(helper.make_node("GlobalAveragePool", [f"r{len(extra)}"], ["g"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["g"], ["f"], name="flatten"))
    constants["fw"] = random.normal(0, 0.5, (3, channels)).astype(np.float32)
    constants["fb"] = np.zeros(3, np.float32)
    nodes.append(helper.make_node("Gemm", ["f", "fw", "fb"], ["logits"], name="fc", transB=1))
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", planes, *size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def images(path: Path, shape: tuple[int, ...] = (12, 2, 8, 8), **arrays: np.ndarray) -> Path:
    """An .npz file with images of unit variance, and other arrays that are given."""
    content = {"images": np.random.default_rng(11).normal(0, 1, shape).astype(np.float32)}
    np.savez(path, **{**content, **arrays})  # type: ignore[arg-type]
    return path


def load(path: Path) -> onnx.ModelProto:
    """The ONNX model of a file."""
    return onnx.load(str(path))


def forked_cnn(path: Path) -> Path:
    """Two convolutions side by side, concatenated, and a third: (2, 8, 8) to (3, 8, 8)."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["one"], "left"),
        helper.make_node("Conv", ["x", "w2"], ["two"], "right"),
        helper.make_node("Concat", ["one", "two"], ["both"], "both", axis=1),
        helper.make_node("Conv", ["both", "w3"], ["y"], "last"),
    ]
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", channels, 8, 8])
        for name, channels in (("x", 2), ("y", 3))
    )
    weights = [weight("w1", 4, 2, 1, 1), weight("w2", 4, 2, 1, 1), weight("w3", 3, 8, 1, 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "forked", [x], [y], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def two_inputs(path: Path) -> Path:
    """Two maps (2, 8, 8) through one convolution, how far apart they are, and a vector (3,) beside: to (3,)."""
    random = np.random.default_rng(5)
    sizes = {"w": (4, 2, 3, 3), "b": (4,), "fw": (7, 3), "fb": (3,)}
    constants = [numpy_helper.from_array(random.normal(0, 0.4, s).astype(np.float32), n) for n, s in sizes.items()]
    nodes = [
        *(
            helper.make_node("Conv", [x, "w", "b"], [f"{x}_seen"], f"see_{x}", strides=[2, 2])
            for x in ("left", "right")
        ),
        helper.make_node("Sub", ["left_seen", "right_seen"], ["apart"], "apart"),
        helper.make_node("Abs", ["apart"], ["far"], "far"),
        helper.make_node("GlobalAveragePool", ["far"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
        helper.make_node("Concat", ["flat", "facts"], ["all"], "all", axis=1),
        helper.make_node("Gemm", ["all", "fw", "fb"], ["logits"], "fc"),
    ]
    shapes = {"left": (2, 8, 8), "right": (2, 8, 8), "facts": (3,)}
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()]
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "siamese", given, [result], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def two_inputs_images(path: Path, count: int, **arrays: np.ndarray) -> Path:
    """An .npz file for it: left and right, the facts beside, and other arrays that are given."""
    random = np.random.default_rng(count)
    maps = {name: random.normal(size=(count, 2, 8, 8)).astype(np.float32) for name in ("left", "right")}
    content = {**maps, "facts": random.normal(size=(count, 3)).astype(np.float32), **arrays}
    np.savez(path, **content)  # type: ignore[arg-type]
    return path
