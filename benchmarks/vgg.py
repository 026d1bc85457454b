"""A VGG-style network for CIFAR-10 (Simonyan and Zisserman 2015): its form, and how it was trained in float.

python benchmarks/vgg.py FOLDER [--data ../shared/data] [--epochs 18]

Six 3 x 3 convolutions in three pairs, each followed by a maximum of 2 x 2, an average and a classifier: 86 million MACs
an image.  It is trained with batch normalisation, which is folded, on cifar10_train without the images that `compress
--train` holds back, too; weights and biases are then numbers of bfloat16, so that the file is small.  FOLDER gets
vgg_cifar10.coded and vgg_cifar10.log.  Needs PyTorch: pip install 'shiftpoint[train]'.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks.datasets import DATA, Labelled
from quant import coded, onnx_import
from quant.base.errors import BadInput, ShiftpointError
from quant.base.files import write_atomic

NAME = "vgg_cifar10"
WIDTHS = ((48, 48), (96, 96), (192, 192))
"""Channels of the convolutions before each maximum."""

BATCH, SEED = 128, 1
RATE, DECAY, RISING = 0.08, 5e-4, 0.2
"""The highest learning rate, weight decay, and the part of the steps in which the rate rises; then it falls to 0."""

Parameters = Sequence[tuple[np.ndarray, np.ndarray]]
"""Weights and biases of the layers."""


def shapes() -> list[tuple[int, ...]]:
    """Of the layers' weights."""
    found: list[tuple[int, ...]] = []
    inputs = 3
    for pair in WIDTHS:
        for width in pair:
            found.append((width, inputs, 3, 3))
            inputs = width
    return [*found, (10, inputs)]


def vgg(parameters: Parameters, mean: Sequence[float], scale: Sequence[float]) -> onnx.ModelProto:
    """The network of these weights.  mean, scale: of its preprocessing, of each channel."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def put(operator: str, sources: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, sources, [output], name=output, **attributes))
        return output

    at, given = "input", iter(parameters)

    def with_weights(operator: str, output: str, **attributes: Any) -> str:
        names = f"{output}.weight", f"{output}.bias"
        weights.extend(map(numpy_helper.from_array, next(given), names))
        return put(operator, [at, *names], output, **attributes)

    for stage, pair in enumerate(WIDTHS, 1):
        for number in range(1, len(pair) + 1):
            at = with_weights("Conv", f"conv{stage}_{number}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            at = put("Relu", [at], f"relu{stage}_{number}")
        at = put("MaxPool", [at], f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2])
    at = put("Flatten", [put("AveragePool", [at], "average", kernel_shape=[4, 4])], "flat")
    with_weights("Gemm", "logits", transB=1)
    ends = (
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10]),
    )
    graph = helper.make_graph(nodes, NAME, ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    words = {"preprocess.channels": "RGB"}
    words |= {f"preprocess.{key}": ",".join(f"{x:.8g}" for x in of) for key, of in (("mean", mean), ("scale", scale))}
    helper.set_model_props(model, words)
    return model


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The nearest numbers with 8 significant bits, float32."""
    fraction, exponent = np.frexp(values.astype(np.float32))
    return np.ldexp(np.rint(fraction * 256) / 256, exponent).astype(np.float32)


def trained(start: Path, train: Path, epochs: int) -> Iterator[tuple[str, Parameters]]:
    """After each epoch a line of how it went, and the parameters; batch normalisation folded."""
    import torch
    from torch.nn import functional

    from quant.train.data import open_examples

    examples = open_examples(train, onnx_import.load(start), SEED)
    torch.manual_seed(SEED)
    module = normalized().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=DECAY)
    each = examples.steps(BATCH)
    for step in range(epochs * each):
        part = step / (epochs * each)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(part / RISING, (1 - part) / (1 - RISING))
        pixels, classes = examples.batch(step, BATCH, "flip", SEED)
        images = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            answers = module(images)
        loss = functional.cross_entropy(answers.float(), torch.from_numpy(classes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % each == 0:
            module.eval()
            right = 0
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                for first in range(0, len(examples.held), 500):
                    held, labels = examples.held_back(first, 500)
                    right += int((module(torch.from_numpy(held)).argmax(1).numpy() == labels).sum())
            module.train()
            line = f"epoch {(step + 1) // each} of {epochs}: loss {loss.item():.3f}, "
            yield f"{line}{right / len(examples.held):.2%} of the images held back right", folded(module)


def normalized() -> Any:
    """The network in PyTorch with random weights, a batch normalisation behind each convolution."""
    from torch import nn

    modules: list[nn.Module] = []
    inputs = 3
    for pair in WIDTHS:
        for width in pair:
            modules += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(inputs, 10))


def folded(module: object) -> Parameters:
    """Of a sequence of PyTorch's layers."""
    from torch import nn

    assert isinstance(module, nn.Sequential)
    found = []
    for index, layer in enumerate(module):
        if isinstance(layer, nn.Conv2d):
            norm = module[index + 1]
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None and norm.running_mean is not None
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight, bias = layer.weight * factor[:, None, None, None], norm.bias - norm.running_mean * factor
            found.append((weight, bias))
        elif isinstance(layer, nn.Linear):
            found.append((layer.weight, layer.bias))
    return [tuple(bfloat16(of.detach().numpy()) for of in pair) for pair in found]  # type: ignore[misc]


def make(folder: Path, data: Path, epochs: int) -> None:
    """Train the network and write its coded file and its log into a folder."""
    began, (pixels, labels) = time.monotonic(), Labelled(data).load.load_images("cifar10_train")
    channels = pixels.transpose(1, 0, 2, 3).reshape(3, -1)
    mean, scale = channels.mean(1), 1 / channels.std(1)
    zeros = [(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)) for shape in shapes()]
    log = f"$ python benchmarks/vgg.py FOLDER --epochs {epochs}\n"
    with tempfile.TemporaryDirectory() as name:
        start, train = Path(name) / "start.onnx", Path(name) / "train.npz"
        onnx.save(vgg(zeros, mean, scale), start)
        np.savez(train, images=pixels, labels=labels)
        found: Parameters = zeros
        for line, parameters in trained(start, train, epochs):
            print(line, file=sys.stderr, flush=True)
            log, found = f"{log}{line}\n", parameters
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{NAME}.log", f"{log}{time.monotonic() - began:,.0f} s\n".encode())
    write_atomic(folder / f"{NAME}.coded", coded.encode(vgg(found, mean, scale).SerializeToString()))


def main() -> int:
    """Exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="for the network and its log")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled images")
    parser.add_argument("--epochs", type=int, default=18)
    arguments = parser.parse_args()
    try:
        if importlib.util.find_spec("torch") is None:
            raise BadInput("training needs PyTorch: pip install 'shiftpoint[train]'")
        make(arguments.folder, arguments.data, arguments.epochs)
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
