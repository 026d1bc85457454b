"""Quantized files, most of them with slips in what they mean, against ONNX Runtime.

What ONNX Runtime refuses to load or to run is refused; of what is taken, every integer is ONNX Runtime's.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from quant import qdq
from quant.base.errors import BadInput, ShiftpointError
from quant.qdq.run import plain_session
from tests.fuzz.altering import alter, pick
from tests.fuzz.harness import Step, command
from tests.host.onnx_networks import images
from tests.quant.elsewhere import Graph, assert_read, runtime_integers
from tests.quant.elsewhere import images as real_images
from tests.sim.networks import random_network


def foreign(rng: np.random.Generator) -> onnx.ModelProto:
    """A file as other tools write them: QuantizeLinear and DequantizeLinear around every operator."""
    g = Graph((3, 9, 8), int(rng.integers(1 << 30)))
    at, channels = g.quantized("x", 5, zero=0), 3
    for _ in range(int(rng.integers(1, 4))):
        unsigned = bool(rng.integers(2))
        match rng.integers(4):
            case 0 | 1:
                kernel, outputs = int(pick(rng, (1, 3))), int(rng.integers(1, 6))
                at = g.node("Conv", at, g.weight((outputs, channels, kernel, kernel)), pads=[kernel // 2] * 4)
                channels = outputs
                if unsigned:
                    at = g.node("Relu", at)
            case 2:
                at = g.node("MaxPool", at, kernel_shape=[2, 2], strides=[1, 1], ceil_mode=int(rng.integers(2)))
                unsigned = False
            case _:
                at = g.node("Add", at, at)
                unsigned = False
        at = g.quantized(at, int(rng.integers(2, 6)), np.uint8 if unsigned else np.int8)
    return g.model(at)


def agree(path: Path) -> int:
    """Exit code 2 where the file is refused, 0 where it is taken and all of it is ONNX Runtime's."""
    model = onnx.load_model_from_string(path.read_bytes())
    try:
        network = qdq.load(model)
    except ShiftpointError as error:
        print(f"shiftpoint: {error}", file=sys.stderr)
        return 2
    x = real_images(network)
    try:
        plain_session(model, "theirs").run(None, {network.inputs[0]: x.reshape(len(x), *_own(model))})
    except BadInput as error:
        raise AssertionError(f"taken, though ONNX Runtime refuses it: {error}") from None
    outputs = [value.name for value in model.graph.output]
    if len(outputs) == len(set(outputs)) and not qdq.beyond_float32(network) and runtime_integers(model, x):
        assert_read(model)
    return 0


def _own(model: onnx.ModelProto) -> list[int]:
    constants = {tensor.name for tensor in model.graph.initializer}
    source = next(value for value in model.graph.input if value.name not in constants)
    return [dim.dim_value for dim in source.type.tensor_type.shape.dim][1:]


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A file, held against ONNX Runtime, compiled and run."""
    network = random_network(int(rng.integers(1 << 30)), int(rng.integers(1, 5)), largest=9)
    model = foreign(rng) if rng.integers(2) else qdq.to_model(network)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    slips = [alter(model, rng) for _ in range(int(rng.integers(0, 3)))]
    (folder / "q.onnx").write_bytes(model.SerializeToString())
    (folder / "slips.txt").write_text("".join(f"{slip}\n" for slip in slips))
    images(folder / "images.npz", (2, *shape))
    return [
        Step("q.onnx against ONNX Runtime", partial(agree, folder / "q.onnx")),
        command("compile", "q.onnx", "--config", "tiny", "-o", "p.program"),
        command("simulate", "p.program", "--images", "images.npz", needs="p.program"),
    ]
