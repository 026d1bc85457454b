"""What the engine cannot run, found before anything is compiled."""

from __future__ import annotations

from host.compiler.errors import CannotCompile
from host.compiler.kinds import follows, on_engine
from hw.contract.config import WIDTHS, AcceleratorConfig
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.target import Refusal


def refusal(network: Network, layer: Layer, config: AcceleratorConfig) -> Refusal | None:
    """Why an engine cannot run a layer, by its shapes and numbers; None where it can."""
    try:
        check_layer(network, layer, config)
    except CannotCompile as refused:
        return refused.refusal
    return None


def check_layer(network: Network, layer: Layer, config: AcceleratorConfig) -> None:
    """Raise CannotCompile for a layer beyond what the instructions can say."""
    on_engine(layer).check(network, layer, config)


def check_tensors(network: Network, config: AcceleratorConfig) -> None:
    """Raise CannotCompile for a tensor of a width that the engine does not move."""
    for name, tensor in network.tensors.items():
        readers = network.consumers(name)
        readers = [layer for layer in readers if not on_engine(layer).joins and not follows(network, layer)]
        bits = tensor.fmt.bits
        edit = f"quantize with --data-bits {config.data_bits}"
        if readers and (bits > config.data_bits or bits not in WIDTHS):
            reason = f"input {name} has {bits} bits, and the engine reads {config.data_bits}"
            raise CannotCompile(readers[0].name, reason, edit)
        producer = network.producer(name)
        if bits not in WIDTHS and producer is not None:
            reason = f"output {name} has {bits} bits, and the engine writes {' or '.join(map(str, WIDTHS))}"
            raise CannotCompile(producer.name, reason, edit)
    for name in network.outputs:
        if name in network.inputs:
            raise CannotCompile(name, "the network's output is its input")
