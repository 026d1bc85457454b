"""The example of quantization-aware training: the file it left, how it writes one, and its arithmetic in PyTorch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from examples.qat.export import Stored, Trained, with_qdq
from host.compiler import compile_network
from hw.contract.config import PRESETS
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.kinds.conv import Conv
from quant.onnx_file import form
from quant.qdq.run import plain_session
from quant.run.evaluation import accuracy
from quant.run.execute import execute, quantize_input
from quant.run.images import load_images
from quant.search import quantize_network

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
FLOAT, TRAINED = EXAMPLES / "fashion_mnist", EXAMPLES / "qat" / "fashion_mnist_w4.onnx"


@pytest.fixture(scope="module")
def graph() -> FloatGraph:
    return onnx_import.load(FLOAT / "fashion_mnist.onnx")


@pytest.fixture(scope="module")
def start(graph: FloatGraph) -> Network:
    images, _ = load_images(FLOAT / "calibration.npz", graph, limit=20)
    return quantize_network(graph, images, effort="fast", weight_bits=4)


def as_trained(network: Network) -> tuple[dict[str, Stored], dict[str, Trained]]:
    tensors = {name: Stored(t.fmt.bits, t.fmt.frac, t.fmt.signed) for name, t in network.tensors.items()}
    layers = {
        layer.name: Trained(
            layer.weight,
            layer.weight_frac,
            layer.weight_bits,
            layer.bias,
            layer.weight_frac + network.tensors[layer.input].fmt.frac,
        )
        for layer in network.layers
        if isinstance(layer, Conv)
    }
    return tensors, layers


def test_the_bundled_file_has_the_accuracy_of_its_log(graph: FloatGraph) -> None:
    network = qdq.load(TRAINED)
    images, labels = load_images(FLOAT / "evaluation.npz", graph, labels=True)
    found = accuracy(network, graph, images, labels)
    log = (EXAMPLES / "qat" / "finetune.log").read_text()
    line = re.search(r"^fine-tuned: top-1 ([\d.]+) % of the bundled 1000.*agreement with float ([\d.]+) %", log, re.M)
    assert line is not None
    assert line.groups() == (f"{100 * found.fixed_top1:.1f}", f"{100 * found.agreement:.1f}")
    readme = (EXAMPLES / "qat" / "README.md").read_text()
    assert f"| fine-tuned | {line[1]} % |" in readme


def test_the_bundled_file_is_made_elsewhere_has_4_bits_everywhere_and_compiles() -> None:
    model = onnx.load(TRAINED)
    assert model.producer_name != form.PRODUCER and form.WIDTHS not in {entry.key for entry in model.metadata_props}
    network = qdq.load(TRAINED)
    assert {layer.weight_bits for layer in network.layers if isinstance(layer, Conv)} == {4}
    assert qdq.read.NOTES not in network.metadata
    program = compile_network(network, PRESETS["small"])
    assert program.instructions > 0 and len(program.layers) > 5


def test_onnx_runtime_computes_its_integers(graph: FloatGraph) -> None:
    network = qdq.load(TRAINED)
    images, _ = load_images(FLOAT / "evaluation.npz", graph, limit=8)
    ours = execute(network, quantize_input(network, images))["logits"].reshape(8, -1)
    (theirs,) = plain_session(onnx.load(TRAINED), TRAINED.name).run(["logits"], {"input": images})
    assert (theirs == ours * network.tensors["logits"].fmt.step).all()


def test_export_reads_back_to_the_integers_it_was_given(graph: FloatGraph, start: Network) -> None:
    found = qdq.load(with_qdq(onnx.load(FLOAT / "fashion_mnist.onnx"), *as_trained(start)))
    assert found.tensors == start.tensors and found.outputs == start.outputs
    assert [layer.name for layer in found.layers] == [layer.name for layer in start.layers]
    images, _ = load_images(FLOAT / "evaluation.npz", graph, limit=4)
    ours, theirs = (execute(network, quantize_input(network, images), start.tensors) for network in (found, start))
    assert all((ours[name] == theirs[name]).all() for name in start.tensors)


def test_export_refuses_what_the_file_has_not(start: Network) -> None:
    model = onnx.load(FLOAT / "fashion_mnist.onnx")
    tensors, layers = as_trained(start)
    with pytest.raises(KeyError, match="the model has no conv9"):
        with_qdq(model, tensors, {"conv9": layers["conv1"]})
    with pytest.raises(ValueError, match="no ONNX type has 12 bits"):
        with_qdq(model, tensors | {"input": Stored(12, 7, True)}, layers)


def test_a_bias_off_its_unit_is_refused(start: Network) -> None:
    tensors, layers = as_trained(start)
    layers["conv2"] = replace(layers["conv2"], bias=layers["conv2"].bias | 1, bias_frac=layers["conv2"].bias_frac + 1)
    model = with_qdq(onnx.load(FLOAT / "fashion_mnist.onnx"), tensors, layers)
    with pytest.raises(BadInput, match="bias of layer conv2"):
        qdq.load(model)


def test_pytorch_computes_the_integer_network(graph: FloatGraph) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
    from examples.qat.module import FloatNet, QuantizedNet

    calibration, _ = load_images(FLOAT / "calibration.npz", graph, limit=20)
    network = quantize_network(graph, calibration, effort="fast", weight_bits=4, equalization=None)
    net = QuantizedNet(graph, network).double()
    images, _ = load_images(FLOAT / "evaluation.npz", graph, limit=16)
    with torch.no_grad():
        found = net(torch.from_numpy(images).double()).numpy()
        real = FloatNet(graph)(torch.from_numpy(images)).numpy()
    integers = execute(network, quantize_input(network, images))["logits"]
    assert (found == integers.reshape(16, -1) * 2.0 ** -network.tensors["logits"].fmt.frac).all()
    assert 0 < np.abs(real - found).max() < 5
    net(torch.from_numpy(images).double()).square().sum().backward()
    for part in net.convolutions.values():
        assert part.weight.grad.abs().sum() > 0
