"""Fine-tune the Fashion-MNIST network with 4-bit weights, and write it as QDQ ONNX.

    python -m examples.qat.finetune          (in the root of the repository)

starts from examples/fashion_mnist/fashion_mnist.onnx and the formats that shiftpoint's quantizer chooses for it,
trains on the 60,000 training images, and writes fashion_mnist_w4.onnx and finetune.log.  The weights are those after
the last step of a schedule fixed beforehand; the test images are looked at after training only.

Needs torch and shiftpoint, and the data set as examples/fashion_mnist/train.py does.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from examples.fashion_mnist.train import DATA, Log, batches, load, preprocess
from examples.qat.export import Stored, Trained, with_qdq
from examples.qat.module import FloatNet, QuantizedConv, QuantizedNet
from quant import onnx_import, qdq
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.run.evaluation import accuracy
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.images import load_images, prepare
from quant.search import quantize_network

FLOAT = Path(__file__).parent.parent / "fashion_mnist"
BUNDLED = 1000  # evaluation.npz is the start of the test set
HELD_OUT = 5000  # of the training images: the last ones


def train(
    net: QuantizedNet, teacher: FloatNet, images: Tensor, labels: Tensor, args: argparse.Namespace, log: Log
) -> None:
    """SGD with Nesterov momentum and one-cycle learning rate, as the float network was trained, but far slower.

    The loss is the cross-entropy with the teacher's answers (distillation: Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531), and for a part of 1 - args.distill with the labels.
    """
    steps = args.steps or args.epochs * (len(images) // args.batch)
    optimizer = torch.optim.SGD(net.parameters(), args.rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    net.train().to(memory_format=torch.channels_last)
    teacher.eval().to(memory_format=torch.channels_last)
    done = 0
    while done < steps:
        begin, first, total, correct = time.monotonic(), done, 0.0, 0
        for x, target in batches(images, labels, args.batch):
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                wanted = teacher(x).softmax(1)
            logits = net(x)
            labelled = functional.cross_entropy(logits, target, label_smoothing=args.smoothing)
            loss = args.distill * functional.cross_entropy(logits, wanted) + (1 - args.distill) * labelled
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            correct += int((logits.argmax(1) == target).sum())
            done += 1
            if done == steps:
                break
        count = done - first
        log(
            f"step {done}/{steps}  loss {total / count:.4f}  "
            f"training accuracy {100 * correct / (count * args.batch):.2f} %  {time.monotonic() - begin:.1f} s"
        )


def held_out(what: str, net: QuantizedNet, teacher: FloatNet, images: Tensor, log: Log) -> None:
    """How near the network is to its teacher on images that it is not trained on: what recipes are chosen by."""
    net.eval()
    with torch.no_grad():
        parts = [(net(preprocess(part)), teacher(preprocess(part))) for part in images.split(500)]
    found, wanted = (torch.cat(part) for part in zip(*parts, strict=True))
    distance = functional.kl_div(found.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True)
    same = (found.argmax(1) == wanted.argmax(1)).float().mean().item()
    log(
        f"{what}: on {len(images)} held-out training images, divergence from float {distance:.5f}, agreement {same:.4f}"
    )


def predict(net: QuantizedNet, images: np.ndarray) -> np.ndarray:
    """Logits (N, 10) of preprocessed images by PyTorch, in float64, where every sum of the network is exact."""
    net.eval().double()
    with torch.no_grad():
        return torch.cat([net(part) for part in torch.from_numpy(images).double().split(500)]).numpy()


def export(net: QuantizedNet, model: onnx.ModelProto) -> onnx.ModelProto:
    """The trained network as QDQ ONNX."""
    tensors = {name: Stored(fmt.bits, fmt.frac, fmt.signed) for name, fmt in net.formats.items()}
    layers = {}
    for part in net.convolutions.values():
        assert isinstance(part, QuantizedConv)
        arrays = {name: values.numpy() for name, values in part.parameters_as_integers().items()}
        layers[part.layer.name] = Trained(weight_bits=part.bits, **arrays)
    return with_qdq(model, tensors, layers)


def report(what: str, network: Network, graph: FloatGraph, images: np.ndarray, labels: np.ndarray, log: Log) -> None:
    """Top-1 of an integer network, run bit for bit, and how often it gives the float network's class."""
    found = accuracy(network, graph, images, labels)
    right = np.array(found.fixed_answers) == labels
    same = np.array(found.fixed_answers) == np.array(found.float_answers)
    log(
        f"{what}: top-1 {100 * right[:BUNDLED].mean():.1f} % of the bundled {BUNDLED}, {100 * right.mean():.2f} % of "
        f"{len(right)} test images; agreement with float {100 * same[:BUNDLED].mean():.1f} %, {100 * same.mean():.2f} %"
    )


def check_exact(net: QuantizedNet, network: Network, images: np.ndarray) -> None:
    """Stop unless PyTorch's logits are the integer network's, to the last bit."""
    output = network.outputs[0]
    integers = FastExecutor(network).run(quantize_images(network, images), [output])[output]
    expected = np.ldexp(integers.reshape(len(images), -1).astype(np.float64), -network.tensors[output].fmt.frac)
    differing = int((predict(net, images) != expected).any(1).sum())
    if differing:
        raise SystemExit(
            f"{differing} of {len(images)} images have other logits in PyTorch than in the integer network"
        )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fine-tune the bundled network with 4-bit weights.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four idx files (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: here)")
    parser.add_argument("--weight-bits", type=int, default=4, choices=(4, 8))
    parser.add_argument(
        "--start", default="default", choices=("fast", "default"), help="effort of the quantizer that training follows"
    )
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, help="steps in place of whole epochs")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-4, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--smoothing", type=float, default=0.05, help="label smoothing (default: %(default)s)")
    parser.add_argument("--distill", type=float, default=1.0, help="part of the loss (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Quantize after training, fine-tune, export, and hold the three networks against each other."""
    args = parse_arguments()
    if not args.data.is_dir():
        raise SystemExit(f"{args.data}: no such folder; install dataset-fashion-mnist, or name the folder with --data")
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    log = Log(args.out / "finetune.log")
    log("command: " + shlex.join(["python", "-m", "examples.qat.finetune", *sys.argv[1:]]))
    log(f"torch {torch.__version__}, numpy {np.__version__}, onnx {onnx.__version__}")

    path = FLOAT / "fashion_mnist.onnx"
    graph = onnx_import.load(path)
    calibration, _ = load_images(FLOAT / "calibration.npz", graph)

    # Without free scales a tensor holds the float network's own values, as the layers of PyTorch do.
    start = quantize_network(graph, calibration, effort=args.start, weight_bits=args.weight_bits, equalization=None)
    net = QuantizedNet(graph, start)
    check_exact(net, start, calibration)
    net.float()
    images, labels = (torch.from_numpy(array) for array in load(args.data, "train"))
    teacher = FloatNet(graph)
    held_out("before", net, teacher, images[-HELD_OUT:], log)
    begin = time.monotonic()
    train(net, teacher, images[:-HELD_OUT], labels[:-HELD_OUT], args, log)
    log(f"trained in {time.monotonic() - begin:.0f} s")
    held_out("after", net, teacher, images[-HELD_OUT:], log)

    written = args.out / f"fashion_mnist_w{args.weight_bits}.onnx"
    onnx.save(export(net, onnx.load(path)), written)
    log(f"{written.name}: {written.stat().st_size} bytes")

    test, classes = load(args.data, "t10k")
    ready = prepare(test, graph)
    trained = qdq.load(written)
    check_exact(net, trained, ready)
    log(f"PyTorch and the integer network read from {written.name}: the same logits for {len(ready)} test images")
    top1 = np.array(accuracy(start, graph, ready, classes).float_answers) == classes
    log(
        f"float: top-1 {100 * top1[:BUNDLED].mean():.1f} % of the bundled {BUNDLED}, {100 * top1.mean():.2f} % of "
        f"{len(top1)} test images"
    )
    report("where training starts", start, graph, ready, classes, log)
    for effort in ("fast", "default", "best"):
        begin = time.monotonic()
        network = quantize_network(graph, calibration, weight_bits=args.weight_bits, effort=effort)
        taken = time.monotonic() - begin
        report(f"after training, effort {effort} ({taken:.0f} s)", network, graph, ready, classes, log)
    report("fine-tuned", trained, graph, ready, classes, log)


if __name__ == "__main__":
    main()
