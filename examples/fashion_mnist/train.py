"""Train the bundled Fashion-MNIST network and write every file of this folder except README.md.

    python examples/fashion_mnist/train.py

reads the four idx files of the Debian package dataset-fashion-mnist and writes fashion_mnist.onnx,
evaluation.npz, calibration.npz and training.log.  The weights written are those after the last epoch of a
schedule fixed beforehand; the test images are looked at once, after training.

Needs torch, numpy, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import gzip
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

DATA = Path("/usr/share/datasets/fashion-mnist")
CLASSES = 10
SHIFT = 2  # augmentation: up to this many pixels in each direction

# x = (pixel - MEAN) * SCALE maps the pixels 0..255 to k / 128 with k in -128..127: exact in eight bits.
MEAN = 128.0
SCALE = 1.0 / 128.0


# ---------------------------------------------------------------------------------------------- data


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in a gzipped idx file."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape).copy()


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64 of `part`: "train" or "t10k"."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None]
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return images, labels


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the first `count` samples of each class, interleaved: class 0, 1, ... 9, 0, 1, ..."""
    return np.stack([np.flatnonzero(labels == c)[:count] for c in range(CLASSES)], axis=1).reshape(-1)


def write_samples(folder: Path, out: Path) -> None:
    """Write evaluation.npz (the first 1,000 test images) and calibration.npz (200 training images)."""
    images, labels = load(folder, "t10k")
    np.savez_compressed(out / "evaluation.npz", images=images[:1000], labels=labels[:1000])
    images, labels = load(folder, "train")
    chosen = first_of_each_class(labels, 20)
    np.savez_compressed(out / "calibration.npz", images=images[chosen], labels=labels[chosen])


def preprocess(pixels: Tensor) -> Tensor:
    """Raw pixels 0..255 to the float input of the network."""
    return (pixels.float() - MEAN) * SCALE


def batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One shuffled epoch of full batches, each image shifted at random and flipped with probability 1/2."""
    edge = images.shape[-1]
    padded = functional.pad(images, (SHIFT,) * 4)  # pixel 0 is the background
    order = torch.randperm(len(images))
    for start in range(0, len(images) - size + 1, size):
        chosen = order[start : start + size]
        rows = torch.randint(2 * SHIFT + 1, (size, 1)) + torch.arange(edge)
        columns = torch.randint(2 * SHIFT + 1, (size, 1)) + torch.arange(edge)
        flip = torch.rand(size, 1) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
        pixels = padded[chosen[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
        yield preprocess(pixels[:, None]), labels[chosen]


# ------------------------------------------------------------------------------------------- network


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; padded so that stride 1 keeps the size."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Net(nn.Module):
    """Seven convolutions, one of them with stride 2, one residual addition, two poolings, one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(1, 16, 5)
        self.conv2 = conv(16, 16, 3)
        self.conv3 = conv(16, 32, 3)
        self.conv4 = conv(32, 64, 3, stride=2)
        self.block1_conv1 = conv(64, 64, 3)
        self.block1_conv2 = conv(64, 64, 3)
        self.conv5 = conv(64, 128, 1)
        self.fc = nn.Linear(128, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 28, 28).  `build_onnx` repeats this graph."""
        x = functional.relu(self.conv1(x))
        x = functional.max_pool2d(x, 2)
        x = functional.relu(self.conv2(x))
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        y = functional.relu(self.block1_conv1(x))
        x = functional.relu(self.block1_conv2(y) + x)
        x = functional.relu(self.conv5(x))
        return self.fc(x.mean((2, 3)))


def train(net: Net, images: Tensor, labels: Tensor, args: argparse.Namespace, log: Log) -> None:
    """SGD with Nesterov momentum, one-cycle learning rate, weight decay and label smoothing."""
    steps = len(images) // args.batch
    optimizer = torch.optim.SGD(net.parameters(), args.rate, momentum=0.9, weight_decay=args.decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=args.epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    net.train().to(memory_format=torch.channels_last)
    for epoch in range(1, args.epochs + 1):
        begin, total, correct = time.monotonic(), 0.0, 0
        for step, (x, target) in enumerate(batches(images, labels, args.batch), 1):
            logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits, target, label_smoothing=args.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            correct += int((logits.argmax(1) == target).sum())
            if step % 100 == 0 and sys.stdout.isatty():
                print(f"  step {step}/{steps}  loss {total / step:.4f}", end="\r", flush=True)
        log(
            f"epoch {epoch:2d}/{args.epochs}  loss {total / steps:.4f}  "
            f"training accuracy {100 * correct / (steps * args.batch):.2f} %  "
            f"rate {schedule.get_last_lr()[0]:.5f}  {time.monotonic() - begin:.1f} s"
        )


def predict(net: Net, images: np.ndarray) -> np.ndarray:
    """Logits (N, 10) of uint8 images by PyTorch."""
    net.eval()
    with torch.no_grad():
        parts = [net(preprocess(part)) for part in torch.from_numpy(images).split(500)]
    return torch.cat(parts).numpy()


# -------------------------------------------------------------------------------------------- export


def fold(pair: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of one convolution equal to `pair`, a convolution and a batch normalisation."""
    weight = pair[0].weight.detach().double()
    norm = pair[1]
    gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    return (weight * gain[:, None, None, None]).float().contiguous().numpy(), bias.float().numpy()


def build_onnx(net: Net, source: str) -> onnx.ModelProto:
    """The network as ONNX, with batch normalisation folded into the convolutions."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def add(kind: str, name: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or name
        nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def parameters(name: str, weight: np.ndarray, bias: np.ndarray) -> tuple[str, str]:
        for key, value in (("weight", weight), ("bias", bias)):
            weights.append(numpy_helper.from_array(value, f"{name}.{key}"))
        return f"{name}.weight", f"{name}.bias"

    def convolution(x: str, name: str, pair: nn.Sequential) -> str:
        layer = pair[0]
        return add(
            "Conv",
            name,
            x,
            *parameters(name, *fold(pair)),
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=list(layer.padding) * 2,
        )

    def activated(x: str, name: str, pair: nn.Sequential) -> str:
        return add("Relu", f"{name}.relu", convolution(x, name, pair))

    x = activated("input", "conv1", net.conv1)
    x = add("MaxPool", "pool1", x, kernel_shape=[2, 2], strides=[2, 2])
    x = activated(x, "conv2", net.conv2)
    x = activated(x, "conv3", net.conv3)
    x = activated(x, "conv4", net.conv4)
    y = activated(x, "block1.conv1", net.block1_conv1)
    y = convolution(y, "block1.conv2", net.block1_conv2)
    x = add("Relu", "block1.relu", add("Add", "block1.add", y, x))
    x = activated(x, "conv5", net.conv5)
    x = add("Flatten", "flatten", add("GlobalAveragePool", "pool2", x), axis=1)
    dense = parameters("fc", net.fc.weight.detach().numpy(), net.fc.bias.detach().numpy())
    add("Gemm", "fc", x, *dense, output="logits", transB=1)

    graph = helper.make_graph(
        nodes,
        "fashion_mnist",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="shiftpoint-example"
    )
    helper.set_model_props(
        model,
        {
            "preprocess.channels": "gray",
            "preprocess.mean": repr(MEAN),
            "preprocess.scale": repr(SCALE),
            "preprocess.size": "28,28",
            "source": source,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits (N, 10) of uint8 images by ONNX Runtime, with the preprocessing written in the file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    mean, scale = np.float32(meta["preprocess.mean"]), np.float32(meta["preprocess.scale"])
    parts = [images[start : start + 500] for start in range(0, len(images), 500)]
    return np.concatenate(
        [session.run(["logits"], {"input": (part.astype(np.float32) - mean) * scale})[0] for part in parts]
    )


# ---------------------------------------------------------------------------------------------- main


class Log:
    """Print lines and keep them in a file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w")

    def __call__(self, line: str) -> None:
        """Print a line, and keep it."""
        """Print `line` and append it to the file."""
        print(line, flush=True)
        print(line, file=self.file, flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the bundled Fashion-MNIST network.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four idx files (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: here)")
    parser.add_argument("--samples-only", action="store_true", help="write evaluation.npz and calibration.npz only")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay (default: %(default)s)")
    parser.add_argument("--smoothing", type=float, default=0.05, help="label smoothing (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Prepare the data, train, export, and compare the exported network with PyTorch on the test images."""
    args = parse_arguments()
    write_samples(args.data, args.out)
    if args.samples_only:
        return
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    log = Log(args.out / "training.log")
    log("command: " + shlex.join(["python", "examples/fashion_mnist/train.py", *sys.argv[1:]]))
    log(
        f"seed {args.seed}, {args.epochs} epochs, batch {args.batch}, rate {args.rate}, decay {args.decay}, "
        f"smoothing {args.smoothing}, {args.threads} threads"
    )
    log(f"torch {torch.__version__}, numpy {np.__version__}, onnx {onnx.__version__}, ort {onnxruntime.__version__}")

    images, labels = (torch.from_numpy(array) for array in load(args.data, "train"))
    net = Net()
    begin = time.monotonic()
    train(net, images, labels, args, log)
    log(f"trained in {time.monotonic() - begin:.0f} s; the weights are those after epoch {args.epochs}")

    source = f"Fashion-MNIST (Zalando SE, MIT licence); train.py, seed {args.seed}, {args.epochs} epochs"
    path = args.out / "fashion_mnist.onnx"
    onnx.save(build_onnx(net, source), path)
    images, labels = load(args.data, "t10k")
    expected, got = predict(net, images), run_onnx(path, images)
    log(f"fashion_mnist.onnx: {path.stat().st_size} bytes")
    for name, logits in (("PyTorch", expected), ("ONNX Runtime", got)):
        right = logits.argmax(1) == labels
        log(f"{name}: top-1 {right.sum()} / {len(right)} test images, {right[:1000].sum()} / 1000 bundled ones")
    log(
        f"ONNX Runtime against PyTorch: {(expected.argmax(1) != got.argmax(1)).sum()} classes differ, "
        f"largest difference of a logit {np.abs(expected - got).max():.2e}"
    )


if __name__ == "__main__":
    main()
