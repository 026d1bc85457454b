"""Float networks: random ones, most of them with slips in their structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz.altering import alter, altered, pick
from tests.fuzz.harness import Step, command
from tests.host.onnx_networks import images
from tests.quant.onnx_nets import Net

SHAPE = (2, 8, 8)


def network(rng: np.random.Generator) -> Net:
    """A random network of the usual layers, its windows not always sensible; its output is `y`."""
    net = Net(*SHAPE, opset=int(pick(rng, (11, 13, 17, 17, 18, 21))), seed=int(rng.integers(1 << 30)))
    at, channels, maps = "x", SHAPE[0], ["x"]
    for _ in range(int(rng.integers(1, 6))):
        match rng.integers(9):
            case 0 | 1 | 2:
                kernel = int(pick(rng, (1, 3, 3, 5)))
                groups = channels if rng.integers(5) == 0 else 1
                outputs = channels if groups > 1 or rng.integers(2) else int(rng.integers(1, 7))
                options = window(rng, kernel)
                at = net.conv(at, outputs, channels // groups, (kernel, kernel), group=groups, **options)
                channels = outputs
                if rng.integers(3) == 0:
                    at = net.norm(at, channels)
            case 3 | 4:
                op = pick(rng, ("Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Clip", "Tanh", "Elu", "Identity"))
                limits = (net.constant(0.0), net.constant(6.0)) if op == "Clip" else ()
                at = net.node(op, at, *limits)
            case 5 | 6:
                kernel = int(pick(rng, (2, 2, 3)))
                op = pick(rng, ("MaxPool", "AveragePool"))
                options = {"ceil_mode": 1} if rng.integers(4) == 0 else {}
                at = net.node(op, at, kernel_shape=[kernel] * 2, **window(rng, kernel, pool=True), **options)
            case 7:
                at = net.node(pick(rng, ("Add", "Mul", "Sub")), at, pick(rng, maps))
            case 8:
                other = pick(rng, maps)
                at = net.node("Concat", at, other, axis=int(pick(rng, (1, 1, 1, 2, -3))))
                channels = channels + (SHAPE[0] if other == "x" else channels)
        maps.append(at)
    if rng.integers(2):
        flat = net.node("Flatten", net.node(pick(rng, ("GlobalAveragePool", "GlobalMaxPool")), at))
        weight = net.constant(net.random.normal(size=(3, channels)))
        net.node("Gemm", flat, weight, net.constant(np.zeros(3)), name="y", transB=1)
    else:
        net.node("Identity", at, name="y")
    return net


def host_end(net: Net, rng: np.random.Generator) -> str:
    """An end of the network that no layer computes, behind `y`."""
    match rng.integers(5):
        case 0:
            return net.node("TopK", "y", net.ints(1), axis=1, outputs=2)
        case 1:
            return net.node("Exp", net.node("Softmax", "y", axis=int(pick(rng, (-1, 1)))))
        case 2:
            return net.node("Transpose", net.node("Round", "y"))
        case 3:
            return net.node("Softmax", net.node("Reshape", "y", net.ints(int(pick(rng, (0, 1))), -1)), axis=1)
        case _:
            return net.node("LpNormalization", "y", axis=1)


def window(rng: np.random.Generator, kernel: int, pool: bool = False) -> dict[str, object]:
    """Attributes of a convolution or a pool."""
    options: dict[str, object] = {"strides": [int(pick(rng, (1, 1, 2, 3)))] * 2}
    match rng.integers(4):
        case 0:
            options["auto_pad"] = pick(rng, ("SAME_UPPER", "SAME_LOWER", "VALID"))
        case 1 if not pool:
            options |= {"dilations": [2, 2], "pads": [kernel - 1] * 4}
        case _:
            options["pads"] = (
                [int(p) for p in rng.integers(0, kernel, 4)] if rng.integers(3) == 0 else [kernel // 2] * 4
            )
    return options


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A network file, inspected, quantized and compiled."""
    while True:
        try:
            net = network(rng)
            model = net.model(host_end(net, rng) if rng.integers(3) == 0 else "y")
            break
        except Exception:  # ONNX's own shape inference refuses some
            continue
    slips = [alter(model, rng) for _ in range(int(rng.integers(0, 4)))]
    data = model.SerializeToString()
    if rng.integers(12) == 0:
        data = altered(data, rng)
    (folder / "net.onnx").write_bytes(data)
    (folder / "slips.txt").write_text("".join(f"{slip}\n" for slip in slips))
    images(folder / "images.npz", (6, *SHAPE))
    return [
        command("inspect", "net.onnx"),
        command("quantize", "net.onnx", "--calibration", "images.npz", "-o", "q.onnx", "--effort", "fast"),
        command("compare", "net.onnx", "q.onnx", "--images", "images.npz", needs="q.onnx"),
        command("compile", "q.onnx", "--config", "tiny", "-o", "p.program", needs="q.onnx"),
        command("simulate", "p.program", "--images", "images.npz", needs="p.program"),
    ]
