"""The tensors of both networks, to be looked at with other tools."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_run import FloatRunner


def dump_tensors(
    network: Network, graph: FloatGraph, images: Given, wanted: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Tensors of the float and of the integer network on the same images, as arrays for an .npz file.

    images: float32 (N, C, H, W).  wanted: names of layers or of tensors; all tensors that both networks have when
    empty.  Of tensor T: `float/T` float32 (N, C, H, W); `fixed/T` the integers; `format/T`, text such as u8.5;
    `frac/T`, int64; `scales/T`, float64 (C,).  fixed * 2**-frac / scales is comparable with float.
    Raises BadInput for a name that neither layer nor tensor has, and as `matched` does.
    """
    graph = matched(network, graph)
    outputs = {layer.name: layer.output for layer in graph.layers}
    both = [name for name in network.tensors if name in graph.shapes]
    for name in wanted:
        if outputs.get(name, name) not in both:
            raise BadInput(f"{network.name} has no layer and no tensor {name!r} that both networks have")
    chosen = {outputs.get(name, name) for name in wanted}
    names = [name for name in both if not chosen or name in chosen]
    fixed = FastExecutor(network).run(quantize_images(network, images), names)
    parts = [tensors for _, tensors in FloatRunner(graph).run(images, tuple(names))]
    scales = tensor_scales(network)
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        fmt = network.tensors[name].fmt
        arrays |= {
            f"float/{name}": np.concatenate([tensors[name] for tensors in parts]),
            f"fixed/{name}": fixed[name],
            f"format/{name}": np.array(str(fmt)),
            f"frac/{name}": np.array(fmt.frac, np.int64),
            f"scales/{name}": scales[name],
        }
    return arrays
